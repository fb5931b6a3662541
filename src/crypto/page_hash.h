#ifndef VMATTEST_CRYPTO_PAGE_HASH_H_
#define VMATTEST_CRYPTO_PAGE_HASH_H_

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "vmattest/types/digest.h"

// Digests of many equal pieces of memory at once.

namespace vmattest {

// The digest of each piece of `size` bytes of `data`, one after the other, into
// `out`: `out.size()` is a multiple of the digest's size, and `data` has that
// many pieces. BLAKE3 over pieces of 4 KiB works on sixteen chunks of different
// pieces side by side; the digests are the official ones. Any thread.
void HashPieces(HashAlgorithm algorithm, ByteView data, size_t size,
                std::span<uint8_t> out);

// A keyed universal hash (Poly1305, RFC 8439 section 2.5) that tells whether a
// piece of memory is what it was: for two different pieces, chosen by somebody
// who does not know the key, the tags are equal with a probability of at most
// 2^-95 for each 4 KiB. That holds for any number of pieces under one key only
// while no tag leaves the process: they are no MACs. One thread at a time.
class PieceTagger {
 public:
  static constexpr size_t kKeySize = 32;
  static constexpr size_t kTagSize = 16;

  explicit PieceTagger(const SecretBytes& key);
  PieceTagger(const PieceTagger&) = delete;
  PieceTagger& operator=(const PieceTagger&) = delete;
  ~PieceTagger();

  void Tag(ByteView piece, std::span<uint8_t, kTagSize> tag);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_PAGE_HASH_H_
