#include "base/secret_bytes.h"

#include <string.h>

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

}  // namespace vmattest
