#ifndef VMATTEST_BASE_HANDLES_H_
#define VMATTEST_BASE_HANDLES_H_

#include <unistd.h>

#include <utility>

namespace vmattest {

// The deleter of a C handle: std::unique_ptr<BIO, Closer<BIO_free_all>>. Each
// adapter lists its aliases in its own handles.h.
template <auto Free>
struct Closer {
  template <class T>
  void operator()(T* handle) const noexcept {
    Free(handle);
  }
};

// A file descriptor that closes itself; -1 is none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  // Gives it to a caller who will close it.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void Reset() {
    if (fd_ >= 0) {
      close(std::exchange(fd_, -1));
    }
  }

 private:
  int fd_ = -1;
};

}  // namespace vmattest

#endif  // VMATTEST_BASE_HANDLES_H_
