#ifndef VMATTEST_CRYPTO_DIGEST_H_
#define VMATTEST_CRYPTO_DIGEST_H_

#include <initializer_list>
#include <memory>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "vmattest/types/digest.h"

// Digests over OpenSSL's EVP and BLAKE3's own code. Everything here is
// callable from any thread; one Hasher belongs to one thread at a time.
// OpenSSL failing a digest is a broken invariant and ends the process.

namespace vmattest {

class Hasher {
 public:
  explicit Hasher(HashAlgorithm algorithm);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  Hasher& Update(ByteView data);
  // Ends the digest and starts the next one.
  DigestBytes Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

DigestBytes Hash(HashAlgorithm algorithm, ByteView data);

// The digest of the parts one after the other, nothing between them.
DigestBytes HashParts(HashAlgorithm algorithm,
                      std::initializer_list<ByteView> parts);

// HMAC-SHA-256 (RFC 2104).
DigestBytes HmacSha256(const SecretBytes& key, ByteView data);

// `size` bytes from the operating system's generator.
Bytes RandomBytes(size_t size);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_DIGEST_H_
