// What the launch gate names when content is not as approved, and many starts
// at once, on real parts.
#include <algorithm>
#include <thread>
#include <vector>

#include "integration/launch_gate_bed.h"
#include "support/package_disk.h"

namespace vmattest::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LaunchGateContentTest : public LaunchGateBed {
 protected:
  reference::Reference Learned() {
    return *reference::FromYaml(Slurp(daemon_->folder() / "state/gate/learned" /
                                      (std::string(kGateVmUuid) + ".yaml")));
  }
};

TEST_F(LaunchGateContentTest, APackageUpgradedInsideTheImageIsNamed) {
  InstallHook();
  ASSERT_THAT(MakePackageDisk(host_->folder(), "5.2.15-2"), IsOk());
  GateVm vm;
  vm.disk = "disk.qcow2";
  vm.disk_format = "qcow2";
  // What the file holds is not asked for: the packages are.
  Approve(vm, [](reference::Reference& reference) {
    reference.content = "chain";
    reference.inside = "inventory";
  });
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();

  ASSERT_THAT(MakePackageDisk(host_->folder(), "5.2.15-3"), IsOk());
  const std::string error = Start();
  EXPECT_THAT(error, AllOf(HasSubstr("gate-refused"), HasSubstr("bash"),
                           HasSubstr("5.2.15-2"), HasSubstr("5.2.15-3")))
      << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("shut off"));
}

// The approver demands SHA-384 of every file; measured by less, none is as
// approved.
TEST_F(LaunchGateContentTest, ADowngradedHashIsRefused) {
  InstallHook();
  Approve({}, [](reference::Reference& reference) {
    reference.algorithm = HashAlgorithm::kSha384;
  });
  EXPECT_EQ(Start(), "") << daemon_->log();
  Destroy();

  reference::Reference weaker = Learned();
  weaker.algorithm = HashAlgorithm::kSha256;
  weaker.roots.clear();
  Sign(weaker, reference::GateMode::kEnforce, 3);
  RestartDaemon();
  const std::string error = Start();
  EXPECT_THAT(error, AllOf(HasSubstr("gate-refused"), HasSubstr("sha384"),
                           HasSubstr("sha256")))
      << daemon_->log();
  EXPECT_THAT(State(), HasSubstr("shut off"));
}

TEST_F(LaunchGateContentTest, TwoHundredStartsAtOnceEachGetTheirOwnVerdict) {
  InstallHook();
  reference::Reference all;
  all.name = "all";
  all.vm_uuids = {"*"};
  all.content = "none";
  all.accept_other_leaves = true;
  all.rules = {{.path = "os/cmdline",
                .kind = reference::LeafRule::Kind::kEqual,
                .type = {},
                .values = {"quiet"}}};
  Sign(all, reference::GateMode::kEnforce, 1);
  RestartDaemon();
  constexpr int kVms = 200;
  const auto approved = [](int i) { return i % 4 == 0; };
  for (int i = 0; i < kVms; ++i) {
    GateVm vm;
    vm.name = fmt::format("vm{}", i);
    vm.uuid = fmt::format("a045410c-221a-45fb-b0ef-{:012d}", i);
    vm.mac = fmt::format("52:54:00:00:01:{:02x}", i);
    vm.disk = vm.name + ".img";
    vm.cmdline = approved(i) ? "quiet" : "init=/bin/sh";
    Write(vm.disk, "d");
    std::filesystem::resize_file(host_->folder() / vm.disk, 1u << 20);
    Define(vm);
  }
  std::vector<std::string> errors(kVms);
  std::vector<std::thread> starting;
  starting.reserve(kVms);
  for (int i = 0; i < kVms; ++i) {
    starting.emplace_back(
        [this, &errors, i] { errors[i] = Start(fmt::format("vm{}", i)); });
  }
  for (std::thread& thread : starting) {
    thread.join();
  }
  int wrong = 0;
  for (int i = 0; i < kVms; ++i) {
    const bool right = approved(i)
                           ? errors[i].empty()
                           : errors[i].find("os/cmdline") != std::string::npos;
    if (!right && ++wrong == 1) {
      ADD_FAILURE() << i << ": " << errors[i] << daemon_->log();
    }
  }
  EXPECT_EQ(wrong, 0);
  // libvirtd still answers, and the right ones run.
  ASSERT_OK_AND_ASSIGN(const std::string running,
                       host_->Virsh({"list", "--name"}));
  EXPECT_EQ(std::count(running.begin(), running.end(), 'v'), kVms / 4);
}

}  // namespace
}  // namespace vmattest::testing
