#include "crypto/blake3_tree.h"

#include <cstring>

#include "blake3.h"
#include "crypto/digest.h"
#include "fakes/inline_executor.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

constexpr size_t kMiB = kBlake3BlockSize;

// The official hasher, fed in one go.
DigestBytes Official(ByteView data) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, data.data(), data.size());
  DigestBytes digest(BLAKE3_OUT_LEN);
  blake3_hasher_finalize(&hasher, digest.data(), digest.size());
  return digest;
}

Bytes Pattern(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(i % 251);
  }
  return bytes;
}

ByteView Block(ByteView data, size_t index) {
  return data.subspan(index * kMiB, std::min(kMiB, data.size() - index * kMiB));
}

Blake3Value ValueOf(ByteView data, size_t index) {
  return Blake3BlockHasher(index).Update(Block(data, index)).Finish();
}

std::vector<Blake3Value> Values(ByteView data) {
  std::vector<Blake3Value> values;
  for (size_t i = 0; i * kMiB < data.size(); ++i) {
    values.push_back(ValueOf(data, i));
  }
  return values;
}

TEST(Blake3Tree, AgreesWithTheOfficialVectors) {
  VMATTEST_REQUIRE_VECTORS(folder, "blake3");
  const auto file = nlohmann::json::parse(
      vmattest::testing::Slurp(folder / "test_vectors.json"));
  size_t checked = 0;
  for (const auto& test : file["cases"]) {
    const Bytes input = Pattern(test["input_len"]);
    const std::string expected = test["hash"].get<std::string>().substr(0, 64);
    EXPECT_EQ(ToHex(Blake3(input)), expected);
    EXPECT_EQ(ToHex(Hasher(HashAlgorithm::kBlake3).Update(input).Finish()),
              expected);
    ++checked;
  }
  EXPECT_GE(checked, 20u);
}

class Blake3Lengths : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(
    Blake3Tree, Blake3Lengths,
    ::testing::Values(0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3 * 1024,
                      63 * 1024 + 1, 64 * 1024, 65 * 1024 + 7, kMiB - 1, kMiB,
                      kMiB + 1, kMiB + 1024, kMiB + 1025, 2 * kMiB - 1,
                      2 * kMiB, 2 * kMiB + 1, 3 * kMiB, 5 * kMiB + 12'345,
                      7 * kMiB + 1023, 9 * kMiB));

TEST_P(Blake3Lengths, EqualTheOfficialHasher) {
  const Bytes data = RandomBytes(GetParam());
  const DigestBytes expected = Official(data);
  EXPECT_EQ(Blake3(data), expected);
  vmattest::testing::InlineExecutor inline_executor;
  EXPECT_EQ(Blake3(data, inline_executor, 3), expected);
  ThreadPool pool("hash", 3, 8);
  EXPECT_EQ(Blake3(data, pool, 4), expected);
}

TEST(Blake3Tree, FoldsKeptValuesAfterOneBlockChanged) {
  Bytes data = RandomBytes(5 * kMiB + 99);
  std::vector<Blake3Value> values = Values(data);
  data[3 * kMiB + 17] ^= 1;
  values[3] = ValueOf(data, 3);
  EXPECT_EQ(FoldBlake3Root(values), Official(data));
}

TEST(Blake3Tree, TakesABlockInPieces) {
  const Bytes data = RandomBytes(2 * kMiB - 300);
  for (const size_t piece : {size_t{1024}, size_t{3 * 1024}, size_t{1} << 18}) {
    std::vector<Blake3Value> values;
    for (size_t i = 0; i < 2; ++i) {
      Blake3BlockHasher hasher(i);
      ByteView rest = Block(data, i);
      while (!rest.empty()) {
        const size_t now = std::min(piece, rest.size());
        hasher.Update(rest.first(now));
        rest = rest.subspan(now);
      }
      values.push_back(hasher.Finish());
    }
    EXPECT_EQ(FoldBlake3Root(values), Official(data)) << piece;
  }
}

TEST(Blake3Tree, FoldsSubtreesBeforeTheRoot) {
  const Bytes data = RandomBytes(11 * kMiB + 5);
  const std::vector<Blake3Value> values = Values(data);
  const auto part = [&values](size_t begin, size_t end) {
    return FoldBlake3Values({values.begin() + static_cast<ptrdiff_t>(begin),
                             values.begin() + static_cast<ptrdiff_t>(end)});
  };
  EXPECT_EQ(FoldBlake3Root({part(0, 4), part(4, 8), part(8, 12)}),
            Official(data));
}

TEST(Blake3Tree, HashesZerosAsIfTheyHadBeenRead) {
  const Bytes zeros(2 * kMiB + 1500, 0);
  std::vector<Blake3Value> values;
  for (size_t i = 0; i < 3; ++i) {
    values.push_back(
        Blake3BlockHasher(i).UpdateZeros(Block(zeros, i).size()).Finish());
  }
  EXPECT_EQ(values, Values(zeros));
  EXPECT_EQ(FoldBlake3Root(values), Official(zeros));
}

TEST(Blake3Tree, FinishesAloneWhenTheExecutorRefuses) {
  ThreadPool stopped("hash", 1, 1);
  stopped.Shutdown();
  const Bytes data = RandomBytes(4 * kMiB + 5);
  EXPECT_EQ(Blake3(data, stopped, 4), Official(data));
}

// Tasks that the pool gets to only after the digest is done must not touch the
// caller's memory: ASan and TSan watch this one.
TEST(Blake3Tree, LateTasksFindNothingToDo) {
  ThreadPool pool("hash", 1, 64);
  Mutex mutex;
  CondVar changed;
  bool release = false;
  ASSERT_THAT(pool.Submit([&] {
    const MutexLock lock(mutex);
    while (!release) {
      changed.Wait(mutex);
    }
  }),
              vmattest::testing::IsOk());
  {
    const Bytes data = RandomBytes(3 * kMiB);
    EXPECT_EQ(Blake3(data, pool, 8), Official(data));
  }
  {
    const MutexLock lock(mutex);
    release = true;
  }
  changed.NotifyAll();
  pool.Shutdown();
}

TEST(Blake3Tree, ServesSeveralThreadsAtOnce) {
  const Bytes data = RandomBytes(2 * kMiB + 3);
  const DigestBytes expected = Official(data);
  ThreadPool pool("hash", 2, 64);
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back(
        [&] { right += Blake3(data, pool, 2) == expected ? 1 : 0; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 4);
}

}  // namespace
}  // namespace vmattest
