#include "base/secret_bytes.h"

#include <string.h>
#include <sys/random.h>

#include <cerrno>
#include <utility>

namespace vmattest {

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : bytes_(std::move(other.bytes_)) {
  other.bytes_.clear();
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Wipe();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

SecretBytes::~SecretBytes() { Wipe(); }

void SecretBytes::Wipe() {
  if (!bytes_.empty()) {
    explicit_bzero(bytes_.data(), bytes_.size());
    bytes_.clear();
  }
}

absl::StatusOr<SecretBytes> MakeSecret(size_t size) {
  Bytes bytes(size);
  for (size_t made = 0; made < size;) {
    const ssize_t got = getrandom(bytes.data() + made, size - made, 0);
    if (got < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "random bytes");
    }
    made += got > 0 ? static_cast<size_t>(got) : 0;
  }
  return SecretBytes(std::move(bytes));
}

}  // namespace vmattest
