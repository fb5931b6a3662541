#include <cstring>

#include "image/image_chain.h"
#include "support/matchers.h"

namespace vmattest::image {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A qcow2 header as one wants it, good or bad.
class Qcow2 {
 public:
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint64_t virtual_size = 1 << 20;
  uint32_t crypt_method = 0;
  uint64_t incompatible = 0;
  uint32_t header_length = 104;
  std::string backing;
  uint64_t backing_offset = 0;  // 0: right behind the extensions

  Qcow2& Extension(uint32_t type, std::string_view content) {
    extensions_.U32(type).Sized(content);
    extensions_.Raw(Bytes((8 - content.size() % 8) % 8, 0));
    return *this;
  }
  Qcow2& RawExtension(uint32_t type, uint32_t size) {
    extensions_.U32(type).U32(size);
    return *this;
  }

  [[nodiscard]] Bytes Build() const {
    const Bytes& extensions = extensions_.bytes();
    const uint64_t after = (version == 3 ? 104 : 72) + extensions.size() + 8;
    uint64_t at = backing_offset;
    if (at == 0 && !backing.empty()) {
      at = after;
    }
    ByteWriter out;
    out.U32(0x514649fb).U32(version).U64(at);
    out.U32(static_cast<uint32_t>(backing.size())).U32(cluster_bits);
    out.U64(virtual_size).U32(crypt_method).Raw(Bytes(36, 0));
    if (version == 3) {
      out.U64(incompatible).Raw(Bytes(20, 0)).U32(header_length);
    }
    out.Raw(extensions).U64(0).Raw(backing);
    return std::move(out).Take();
  }
  [[nodiscard]] absl::StatusOr<ImageHeader> Parse() const {
    return ParseImageHeader(Build(), "qcow2");
  }

 private:
  ByteWriter extensions_;
};

TEST(ImageHeader, ReadsBothVersionsOfQcow2) {
  for (const uint32_t version : {2u, 3u}) {
    Qcow2 image;
    image.version = version;
    image.backing = "base.qcow2";
    image.Extension(0xe2792aca, "qcow2").Extension(0x6803f857, "names");
    ASSERT_OK_AND_ASSIGN(const ImageHeader header, image.Parse());
    EXPECT_EQ(header.format, "qcow2");
    EXPECT_EQ(header.virtual_size, 1u << 20);
    EXPECT_EQ(header.backing_file, "base.qcow2");
    EXPECT_EQ(header.backing_format, "qcow2");
    EXPECT_FALSE(header.encrypted);
    EXPECT_FALSE(header.data_file);
  }
}

TEST(ImageHeader, ReadsTheDataFileOnlyWhenTheFeatureIsSet) {
  Qcow2 image;
  image.Extension(0x44415441, "external.raw");
  ASSERT_OK_AND_ASSIGN(const ImageHeader without, image.Parse());
  EXPECT_FALSE(without.data_file);
  image.incompatible = 4;
  ASSERT_OK_AND_ASSIGN(const ImageHeader with, image.Parse());
  EXPECT_EQ(with.data_file, "external.raw");
}

TEST(ImageHeader, RejectsADataFileWithoutAName) {
  Qcow2 image;
  image.incompatible = 4;
  EXPECT_THAT(image.Parse(), StatusIs(kInvalid, HasSubstr("data file")));
}

TEST(ImageHeader, TellsEncryptedImages) {
  for (const uint32_t method : {1u, 2u}) {
    Qcow2 image;
    image.crypt_method = method;
    ASSERT_OK_AND_ASSIGN(const ImageHeader header, image.Parse());
    EXPECT_TRUE(header.encrypted);
  }
}

struct BadField {
  const char* name;
  void (*spoil)(Qcow2& image);
};

class BadQcow2 : public ::testing::TestWithParam<BadField> {};
INSTANTIATE_TEST_SUITE_P(
    ImageHeader, BadQcow2,
    ::testing::Values(
        BadField{"version", [](Qcow2& i) { i.version = 4; }},
        BadField{"version", [](Qcow2& i) { i.version = 1; }},
        BadField{"cluster_bits", [](Qcow2& i) { i.cluster_bits = 8; }},
        BadField{"cluster_bits", [](Qcow2& i) { i.cluster_bits = 22; }},
        BadField{"cluster_bits", [](Qcow2& i) { i.cluster_bits = 0xffffffff; }},
        BadField{"crypt_method", [](Qcow2& i) { i.crypt_method = 3; }},
        BadField{"incompatible_features",
                 [](Qcow2& i) { i.incompatible = 1ull << 63; }},
        BadField{"header_length", [](Qcow2& i) { i.header_length = 103; }},
        BadField{"header_length", [](Qcow2& i) { i.header_length = 65537; }},
        BadField{"backing_file_offset",
                 [](Qcow2& i) {
                   i.backing = "b";
                   i.backing_offset = 103;
                 }},
        BadField{"backing_file_offset",
                 [](Qcow2& i) {
                   i.backing = "b";
                   i.backing_offset = UINT64_MAX;
                 }},
        BadField{"backing_file_offset",
                 [](Qcow2& i) {
                   i.backing = "b";
                   i.backing_offset = 65536;
                 }},
        BadField{"backing_file_size",
                 [](Qcow2& i) { i.backing = std::string(1024, 'b'); }},
        BadField{"the file ends",
                 [](Qcow2& i) {
                   i.backing = "b";
                   i.backing_offset = 65535;
                 }},
        BadField{"backing file has a NUL",
                 [](Qcow2& i) { i.backing = std::string("a\0b", 3); }},
        BadField{"backing format's name is too long",
                 [](Qcow2& i) { i.Extension(0xe2792aca, "sixteen-letters!"); }},
        BadField{"backing format has a NUL",
                 [](Qcow2& i) {
                   i.Extension(0xe2792aca, std::string_view("ra\0w", 4));
                 }},
        BadField{"data file's name",
                 [](Qcow2& i) { i.Extension(0x44415441, ""); }},
        BadField{"extension 0x12345678",
                 [](Qcow2& i) { i.RawExtension(0x12345678, 0xffffffff); }},
        BadField{"extension 0x12345678",
                 [](Qcow2& i) { i.RawExtension(0x12345678, 65536); }}));

TEST_P(BadQcow2, IsRejectedNamingTheField) {
  Qcow2 image;
  ASSERT_THAT(image.Parse(), IsOk());
  GetParam().spoil(image);
  EXPECT_THAT(image.Parse(), StatusIs(kInvalid, HasSubstr(GetParam().name)));
}

TEST(ImageHeader, RejectsAHeaderCutAnywhere) {
  Qcow2 image;
  const Bytes whole = image.Build();
  for (size_t size = 0; size < 104; ++size) {
    EXPECT_THAT(ParseImageHeader(ByteView(whole).first(size), "qcow2"),
                StatusIs(kInvalid))
        << size;
  }
}

TEST(ImageHeader, DemandsTheMagicOfQcow2) {
  EXPECT_THAT(ParseImageHeader(Bytes(4096, 0), "qcow2"),
              StatusIs(kInvalid, HasSubstr("magic")));
}

TEST(ImageHeader, NeverLooksInsideWhatIsSaidToBeRaw) {
  Qcow2 image;
  image.backing = "/etc/shadow";
  ASSERT_OK_AND_ASSIGN(const ImageHeader header,
                       ParseImageHeader(image.Build(), "raw"));
  EXPECT_EQ(header.format, "raw");
  EXPECT_FALSE(header.backing_file);
}

TEST(ImageHeader, NamesOtherFormats) {
  std::string vdi(0x44, 'x');
  vdi.replace(0x40, 4, "\x7f\x10\xda\xbe");
  const std::pair<std::string, std::string> known[] = {
      {"KDMVrest", "vmdk"},
      {"# Disk DescriptorFile\n", "vmdk"},
      {vdi, "vdi"},
      {"vhdxfile", "vhdx"},
      {"conectix", "vpc"},
      {"LUKS\xba\xbe", "luks"},
      {std::string("QED\0", 4), "qed"},
      {std::string("QFI\xfb\0\0\0\1", 8), "qcow"},
      {"", "raw"},
      {"QFI", "raw"},
      {"plain", "raw"}};
  for (const auto& [bytes, format] : known) {
    ASSERT_OK_AND_ASSIGN(const ImageHeader header,
                         ParseImageHeader(AsBytes(bytes), ""));
    EXPECT_EQ(header.format, format);
  }
}

}  // namespace
}  // namespace vmattest::image
