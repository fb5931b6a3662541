#ifndef VMATTEST_TESTS_SUPPORT_GUEST_FILES_H_
#define VMATTEST_TESTS_SUPPORT_GUEST_FILES_H_

#include <string>
#include <string_view>

#include "base/status.h"

namespace vmattest::testing {

// A kernel that guests of tests run, as a Debian release packages it.
struct GuestKernel {
  std::string_view name;
  std::string_view package;  // a regular expression
  std::string_view release;  // where this machine's own has none
};

inline constexpr GuestKernel kDebian12Kernel{
    "6.1", R"(linux-image-6\.1\.0-[0-9]+-cloud-amd64)", "bookworm"};
// Its modules are packed with xz.
inline constexpr GuestKernel kDebian13Kernel{
    "6.12", R"(linux-image-6\.12\.[0-9.]+\+deb13-cloud-amd64)", "trixie"};

// The folder of make-guest's files, kept between runs: of the kernel that this
// machine's Debian runs in clouds, or of a named one. NOT_FOUND: no such kernel
// is to be had, and the test is skipped. INTERNAL: what make-guest says. Any
// thread or process; one makes a folder, the others wait.
std::string GuestFolder();
absl::StatusOr<std::string> MakeGuest();
absl::StatusOr<std::string> MakeGuest(const GuestKernel& kernel);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_GUEST_FILES_H_
