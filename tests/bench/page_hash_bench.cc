// What deciding that a page is unchanged costs against its digest (the ADR on
// incremental snapshots): one thread, pages in memory, same run.

#include <benchmark/benchmark.h>

#include <array>

#include "crypto/digest.h"
#include "crypto/page_hash.h"

namespace vmattest {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSize = size_t{256} << 20;

const Bytes& Data() {
  static const Bytes data = [] {
    Bytes bytes(kSize);
    const Bytes seed = RandomBytes(size_t{1} << 20);
    for (size_t at = 0; at < kSize; at += seed.size()) {
      std::copy(seed.begin(), seed.end(),
                bytes.begin() + static_cast<ptrdiff_t>(at));
      bytes[at] ^= static_cast<uint8_t>(at >> 20);
    }
    return bytes;
  }();
  return data;
}

void BM_PageDigests(benchmark::State& state) {
  const auto algorithm = static_cast<HashAlgorithm>(state.range(0));
  state.SetLabel(std::string(ToString(algorithm)));
  Bytes out(kSize / kPage * DigestSize(algorithm));
  for (auto _ : state) {
    HashPieces(algorithm, Data(), kPage, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(kSize));
}
BENCHMARK(BM_PageDigests)->DenseRange(1, 5)->Unit(benchmark::kMillisecond);

void BM_PageTags(benchmark::State& state) {
  PieceTagger tagger(SecretBytes(RandomBytes(PieceTagger::kKeySize)));
  std::array<uint8_t, PieceTagger::kTagSize> tag{};
  for (auto _ : state) {
    for (size_t at = 0; at < kSize; at += kPage) {
      tagger.Tag(ByteView(Data()).subspan(at, kPage), tag);
      benchmark::DoNotOptimize(tag.data());
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(kSize));
}
BENCHMARK(BM_PageTags)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
