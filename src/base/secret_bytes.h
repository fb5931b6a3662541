#ifndef VMATTEST_BASE_SECRET_BYTES_H_
#define VMATTEST_BASE_SECRET_BYTES_H_

#include "base/bytes.h"

namespace vmattest {

// Whoever reads a secret constructs this: one grep lists every such place.
struct SecretAccess {
  explicit SecretAccess() = default;
};

// Bytes that wipe themselves, are neither copied nor printed, and are read
// only through the token above. Not locked into memory.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(Bytes&& bytes) : bytes_(std::move(bytes)) {}
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] ByteView Reveal(SecretAccess) const { return bytes_; }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

 private:
  void Wipe();

  Bytes bytes_;
};

// Random ones, from the kernel (getrandom(2)). INTERNAL: it has none.
absl::StatusOr<SecretBytes> MakeSecret(size_t size);

}  // namespace vmattest

#endif  // VMATTEST_BASE_SECRET_BYTES_H_
