#include "linuxguest/decompress.h"

#include <gmock/gmock.h>
#include <lzma.h>
#include <zstd.h>

#include <string>

#include "support/matchers.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint64_t kMost = 8 << 20;

// As a module: neither one byte repeated nor noise.
Bytes MakeFile(size_t size) {
  Bytes file(size);
  uint32_t state = 1;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    file[i] = static_cast<uint8_t>(i % 3 == 0 ? state >> 24 : i);
  }
  return file;
}

// As Linux's Makefile.modinst has it, or with another dictionary.
Bytes Xz(const Bytes& file, uint32_t dictionary = 1 << 20) {
  lzma_options_lzma options;
  EXPECT_EQ(lzma_lzma_preset(&options, 1), 0);
  options.dict_size = dictionary;
  lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options},
                           {LZMA_VLI_UNKNOWN, nullptr}};
  Bytes out(lzma_stream_buffer_bound(file.size()));
  size_t size = 0;
  EXPECT_EQ(
      lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, nullptr, file.data(),
                                file.size(), out.data(), &size, out.size()),
      LZMA_OK);
  out.resize(size);
  return out;
}

Bytes Zstd(const Bytes& file, int window = 20) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
  Bytes out(ZSTD_compressBound(file.size()));
  ZSTD_inBuffer in{file.data(), file.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  // A stream whose size is not known beforehand has the window that it says.
  ZSTD_compressStream2(context, &to, &in, ZSTD_e_continue);
  while (ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

class DecompressModuleTest
    : public ::testing::TestWithParam<Bytes (*)(const Bytes&)> {
 protected:
  static Bytes Pack(const Bytes& file) { return GetParam()(file); }
};

TEST_P(DecompressModuleTest, GivesTheFileBack) {
  for (const size_t size : {size_t{1}, size_t{1} << 20, size_t{3'000'000}}) {
    const Bytes file = MakeFile(size);
    const Bytes packed = Pack(file);
    ASSERT_NE(packed, file);
    const auto unpacked = DecompressModule(packed, kMost);
    ASSERT_THAT(unpacked, IsOk());
    EXPECT_TRUE(*unpacked == file) << size;
    EXPECT_THAT(DecompressModule(packed, size), IsOk()) << "just that much";
  }
}

TEST_P(DecompressModuleTest, ABombEndsAtTheLimit) {
  const Bytes bomb = Pack(Bytes(64 << 20));
  ASSERT_LT(bomb.size(), size_t{100'000});
  EXPECT_THAT(DecompressModule(bomb, kMost),
              StatusIs(kInvalid, HasSubstr("larger")));
  EXPECT_THAT(DecompressModule(Pack(Bytes(1001)), 1000),
              StatusIs(kInvalid, HasSubstr("larger")));
}

TEST_P(DecompressModuleTest, RefusesWhatIsCutOrChanged) {
  const Bytes packed = Pack(MakeFile(20'000));
  for (size_t size = 6; size < packed.size(); size += 97) {
    EXPECT_THAT(DecompressModule(ByteView(packed).first(size), kMost),
                StatusIs(kInvalid, HasSubstr("damaged")))
        << size;
  }
  Bytes more = packed;
  more.push_back('x');
  EXPECT_THAT(DecompressModule(more, kMost),
              StatusIs(kInvalid, HasSubstr("damaged")));
  // Whatever a changed byte makes of it: an answer.
  for (size_t at = 6; at < packed.size(); at += 61) {
    Bytes changed = packed;
    changed[at] ^= 0x41;
    const auto unpacked = DecompressModule(changed, kMost);
    EXPECT_TRUE(!unpacked.ok() || unpacked->size() <= kMost) << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, DecompressModuleTest,
                         ::testing::Values(
                             +[](const Bytes& file) { return Xz(file); },
                             +[](const Bytes& file) { return Zstd(file); }),
                         [](const auto& kind) {
                           return kind.index == 0 ? "Xz" : "Zstandard";
                         });

TEST(DecompressModule, MemoryIsBoundedWhateverTheFileAsksFor) {
  const Bytes file = MakeFile(10'000);
  EXPECT_THAT(DecompressModule(Xz(file, 64 << 20), kMost), IsOk());
  EXPECT_THAT(DecompressModule(Xz(file, 256 << 20), kMost),
              StatusIs(kInvalid, HasSubstr("dictionary")));
  EXPECT_THAT(DecompressModule(Zstd(file, 26), kMost), IsOk());
  EXPECT_THAT(DecompressModule(Zstd(file, 27), kMost), StatusIs(kInvalid));
}

TEST(DecompressModule, LeavesAPlainFileAsItIs) {
  const Bytes file = MakeFile(1000);
  const auto same = DecompressModule(file, 1000);
  ASSERT_THAT(same, IsOk());
  EXPECT_EQ(*same, file);
  EXPECT_THAT(DecompressModule(file, 999), StatusIs(kInvalid));
  EXPECT_THAT(DecompressModule({}, 1000), IsOk());
}

}  // namespace
}  // namespace vmattest::linuxguest
