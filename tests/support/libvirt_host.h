#ifndef VMATTEST_TESTS_SUPPORT_LIBVIRT_HOST_H_
#define VMATTEST_TESTS_SUPPORT_LIBVIRT_HOST_H_

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/handles.h"
#include "base/status.h"
#include "support/temp_dir.h"

namespace vmattest::testing {

// A real libvirtd in namespaces of its own (testbed/host), in a private
// folder; a libvirt of the machine is not touched. Gone with the object, or
// with the process if that dies. Needs root. One thread; Virsh() from any.
class LibvirtHost {
 public:
  // Why it cannot run here, for GTEST_SKIP; empty if it can.
  static std::string WhyNot();
  static absl::StatusOr<std::unique_ptr<LibvirtHost>> Up(
      const std::string& name);
  LibvirtHost(const LibvirtHost&) = delete;
  LibvirtHost& operator=(const LibvirtHost&) = delete;
  ~LibvirtHost();

  // From outside: qemu+unix:///system?socket=...
  [[nodiscard]] std::string uri() const;
  // For images and XML; seen at the same path inside.
  [[nodiscard]] const std::filesystem::path& folder() const {
    return folder_.path();
  }
  // virsh, inside.
  absl::StatusOr<std::string> Virsh(std::vector<std::string> words);
  // libvirtd alone: guests go on. `signal`: "TERM", or "KILL" for a crash.
  absl::Status StopLibvirtd(const std::string& signal);
  absl::Status StartLibvirtd();

  // The domain's QEMU process, without libvirtd's help.
  absl::Status KillGuest(const std::string& name);

  // Writes the domain's XML as testbed/make-domain makes it and returns the
  // path. Without "kernel=none" among the options the real guest is made
  // first, if it is not there yet; that downloads packages.
  absl::StatusOr<std::filesystem::path> MakeDomain(
      const std::string& name, const std::vector<std::string>& options);
  // An initramfs for MakeDomain's "initrd=": the guest's own, and a shell
  // script that runs once the guest is up, with `programs` in its PATH.
  absl::StatusOr<std::string> AddJob(std::string_view script,
                                     const std::vector<std::string>& programs);
  // What the guest said on its serial console.
  [[nodiscard]] std::string Console(const std::string& name) const;
  // Waits until it has said `text`; false after a minute.
  [[nodiscard]] bool AwaitConsole(const std::string& name,
                                  std::string_view text) const;

 private:
  LibvirtHost() = default;
  [[nodiscard]] std::string bed() const;

  TempDir folder_;
  UniqueFd lifeline_;
};

}  // namespace vmattest::testing

// First line of a test, or of SetUpTestSuite's test, that needs it.
#define VMATTEST_REQUIRE_LIBVIRT_HOST()                                       \
  if (const std::string why_not = ::vmattest::testing::LibvirtHost::WhyNot(); \
      !why_not.empty()) {                                                     \
    GTEST_SKIP() << why_not;                                                  \
  }                                                                           \
  static_assert(true, "")

#endif  // VMATTEST_TESTS_SUPPORT_LIBVIRT_HOST_H_
