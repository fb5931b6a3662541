#include "hook/hook_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fakes/fake_launch_verifier.h"
#include "gate/gate_key.h"
#include "gate/hook_trust.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::hook {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

class HookConfigTest : public ::testing::Test {
 protected:
  static std::string Json() {
    const SystemClock clock;
    gate::HookTrust trust;
    trust.socket = "/run/vmattest/hook.sock";
    trust.deadline = std::chrono::milliseconds(31'000);
    trust.gate_key_pem = *gate::GateKey(EcPrivateKey::Generate()).ToPem();
    trust.verifier_keys = testing::FakeLaunchVerifier(clock).keys();
    trust.host_id = std::string(64, 'a');
    return gate::ToJson(trust);
  }
  static std::string Without(std::string json, const std::string& from,
                             const std::string& to) {
    const size_t at = json.find(from);
    EXPECT_NE(at, std::string::npos);
    return json.replace(at, from.size(), to);
  }
  testing::TempDir dir_;
};

TEST_F(HookConfigTest, ReadsWhatTheDaemonWrites) {
  ASSERT_OK_AND_ASSIGN(const HookConfig config, ParseHookConfig(Json()));
  EXPECT_EQ(config.socket, "/run/vmattest/hook.sock");
  EXPECT_EQ(config.deadline, std::chrono::seconds(31));
  EXPECT_FALSE(config.allow_when_unavailable);
  EXPECT_EQ(config.verifier_keys.size(), 1U);
  EXPECT_TRUE(config.accept.contains(gate::Basis::kBreakGlass));
}

TEST_F(HookConfigTest, WhatIsMissingOrUnknownIsAnErrorAndNeverADefault) {
  const std::string json = Json();
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{
           {"\"socket\"", "\"sockets\""},
           {"\"deny\"", "\"maybe\""},
           {"BEGIN PUBLIC", "BEGIN PRIVATE"},
           {"31000", "-1"},
           {"\"kept-verdict\"", "\"anything\""},
           {"vmattest/hook/v1", "vmattest/hook/v2"},
           {"{", "["}}) {
    EXPECT_THAT(ParseHookConfig(Without(json, from, to)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << from;
  }
}

TEST_F(HookConfigTest, AFileThatOthersCanChangeIsNotBelieved) {
  const std::string path = dir_.Write("hook.json", Json());
  chmod(path.c_str(), 0600);
  EXPECT_THAT(LoadHookConfig(path, geteuid()), IsOk());
  EXPECT_THAT(LoadHookConfig(path, geteuid() + 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  chmod(path.c_str(), 0620);
  EXPECT_THAT(LoadHookConfig(path, geteuid()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  chmod(path.c_str(), 0600);
  chmod(dir_.path().c_str(), 0777);
  EXPECT_THAT(LoadHookConfig(path, geteuid()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HookConfigTest, LiesBesideTheFolderOfTheProgram) {
  EXPECT_EQ(ConfigPathFor("/etc/libvirt/hooks/qemu.d/vmattest"),
            "/etc/libvirt/hooks/vmattest-hook.json");
}

}  // namespace
}  // namespace vmattest::hook
