// Rule S23 on two real libvirtds: a guest whose memory is on two hosts.

#include <atomic>
#include <thread>

#include "fakes/recording_observer.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"

namespace vmattest::testing {
namespace {

// A libvirtd, and our adapter to it.
struct End {
  explicit End(const std::string& name)
      : host(LibvirtHost::Up(name).value()), adapter({.uri = host->uri()}) {
    EXPECT_THAT(adapter.Start(observer), IsOk());
    EXPECT_TRUE(observer.WaitFor("connected"));
  }
  ~End() { adapter.Stop(); }
  bool IsAway(const Uuid& guest) {
    const absl::Status here = adapter.CheckMemoryIsHere(guest);
    return absl::IsFailedPrecondition(here) &&
           here.message().find("post-copy") != std::string_view::npos;
  }

  std::unique_ptr<LibvirtHost> host;
  RecordingObserver observer;
  hypervisor::LibvirtHypervisor adapter;
};

// At 1 MiB/s the 2^20 pages that nobody wrote to are on their way for about ten
// seconds, which nothing here waits for but the end.
TEST(PostCopy, S23_BothEndsRefuseWhileMemoryIsOnTwoHosts) {
  VMATTEST_REQUIRE_LIBVIRT_HOST();
  End from("postcopy-from");
  End to("postcopy-to");
  const auto xml = from.host->MakeDomain("web", {"kernel=none", "mem=4096"});
  ASSERT_THAT(from.host->Virsh({"create", xml.value().string()}), IsOk());
  const Uuid guest = from.adapter.FindDomainByName("web").value().uuid;
  EXPECT_THAT(from.adapter.CheckMemoryIsHere(guest), IsOk());
  absl::StatusOr<std::string> moved = absl::UnknownError("not begun");
  std::atomic<bool> done = false;
  std::thread migration([&] {
    moved = from.host->Virsh(
        {"migrate", "--live", "--postcopy", "--bandwidth", "1",
         "--postcopy-bandwidth", "1", "web", to.host->uri(),
         "unix://" + (to.host->folder() / "move.sock").string()});
    done = true;
  });
  // Refused until the migration runs.
  while (!done && !from.host->Virsh({"migrate-postcopy", "web"}).ok()) {
  }
  bool source_refused = false;
  bool both_refused = false;
  while (!done && !both_refused) {
    source_refused = source_refused || from.IsAway(guest);
    both_refused = from.IsAway(guest) && to.IsAway(guest);
  }
  migration.join();
  ASSERT_THAT(moved, IsOk());
  EXPECT_TRUE(source_refused);
  EXPECT_TRUE(both_refused);
  EXPECT_THAT(to.adapter.CheckMemoryIsHere(guest), IsOk());
}

}  // namespace
}  // namespace vmattest::testing
