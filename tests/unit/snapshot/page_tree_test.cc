#include "snapshot/page_tree.h"

#include "crypto/digest.h"
#include "gtest/gtest.h"
#include "merkle/tree.h"

namespace vmattest::snapshot {
namespace {

constexpr auto kSha = HashAlgorithm::kSha256;

TEST(PageTree, HasOneLeafForEvery256Pages) {
  const Bytes digests = RandomBytes((2 * kPagesPerLeaf + 3) * 32);
  const auto leaf = [&](size_t first, size_t pages) {
    return merkle::LeafHash(kSha,
                            ByteView(digests).subspan(first * 32, pages * 32));
  };
  const DigestBytes expected = merkle::NodeHash(
      kSha, merkle::NodeHash(kSha, leaf(0, 256), leaf(256, 256)), leaf(512, 3));
  EXPECT_EQ(PageTreeRoot(kSha, digests), expected);
}

TEST(PageTree, ChangesWithAnyPage) {
  Bytes digests(1024 * 32);
  const DigestBytes before = PageTreeRoot(kSha, digests);
  for (const size_t page : {0U, 255U, 256U, 1023U}) {
    digests[page * 32] ^= 1;
    EXPECT_NE(PageTreeRoot(kSha, digests), before);
    digests[page * 32] ^= 1;
  }
  EXPECT_EQ(PageTreeRoot(kSha, digests), before);
}

TEST(PageTree, OfNothingIsTheEmptyTree) {
  EXPECT_EQ(PageTreeRoot(kSha, {}), Hash(kSha, {}));
}

TEST(SelectionDigest, CommitsToEveryAddress) {
  const DigestBytes one = SelectionDigest(kSha, {{0, 4096}, {8192, 12288}});
  EXPECT_NE(one, SelectionDigest(kSha, {{0, 4096}}));
  EXPECT_NE(one, SelectionDigest(kSha, {{0, 4096}, {8192, 12289}}));
}

}  // namespace
}  // namespace vmattest::snapshot
