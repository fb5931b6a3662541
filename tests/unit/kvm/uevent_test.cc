#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kvm/linux/uevent_socket.h"

namespace vmattest::kvm {
namespace {

using namespace std::string_view_literals;

// As recorded from Linux 6.1 when QEMU opened a VM.
constexpr std::string_view kCreate =
    "change@/devices/virtual/misc/kvm\0ACTION=change\0"
    "DEVPATH=/devices/virtual/misc/kvm\0SUBSYSTEM=misc\0CREATED=3\0COUNT=1\0"
    "EVENT=create\0PID=4711\0MAJOR=10\0MINOR=232\0DEVNAME=kvm\0SEQNUM=2913\0"sv;

TEST(KvmEvent, IsTheKernelsAnnouncementOfAVm) {
  EXPECT_TRUE(IsKvmEvent(kCreate));
}

TEST(KvmEvent, IsNoOtherDevicesEvent) {
  EXPECT_FALSE(
      IsKvmEvent("add@/devices/virtual/misc/fuse\0ACTION=add\0"
                 "DEVPATH=/devices/virtual/misc/fuse\0SUBSYSTEM=misc\0"sv));
  EXPECT_FALSE(
      IsKvmEvent("x\0SUBSYSTEM=block\0DEVPATH=/devices/virtual/misc/kvm\0"sv));
  EXPECT_FALSE(IsKvmEvent(""sv));
  EXPECT_FALSE(IsKvmEvent("\0\0\0"sv));
}

TEST(KvmEvent, MayBeCutAnywhere) {
  for (size_t size = 0; size < kCreate.size(); ++size) {
    (void)IsKvmEvent(kCreate.substr(0, size));
  }
}

}  // namespace
}  // namespace vmattest::kvm
