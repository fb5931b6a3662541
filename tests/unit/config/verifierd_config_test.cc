#include "config/verifierd_config.h"

#include <functional>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "vmattest/v1/verifierd_config.pb.h"
#include "yaml/yaml_message.h"

namespace vmattest::config {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

const std::string kSource = VMATTEST_SOURCE_DIR;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class VerifierdConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<VerifierdConfig> Load(const std::string& yaml,
                                       const Environment& environment = {}) {
    return LoadVerifierdConfig(dir_.Write("v.yaml", yaml), environment);
  }
  static std::string Tcp(const std::string& client) {
    return "listen:\n  tcp:\n    address: 127.0.0.1:9444\n"
           "    certificate: /c\n    private_key: /k\n    client_ca: /a\n"
           "    clients:\n      - " +
           client + "\n";
  }
  TempDir dir_;
};

TEST_F(VerifierdConfigTest, ShippedFileSpellsOutTheDefaults) {
  ASSERT_OK_AND_ASSIGN(const std::string nothing,
                       EffectiveVerifierdConfig(dir_.Write("v.yaml", ""), {}));
  ASSERT_OK_AND_ASSIGN(const std::string shipped,
                       EffectiveVerifierdConfig(
                           kSource + "/config/vmattest-verifierd.yaml", {}));
  EXPECT_EQ(nothing, shipped);
}

TEST_F(VerifierdConfigTest, ShippedExamplesLoad) {
  std::filesystem::create_directories(dir_.path() / "verifierd.conf.d");
  for (const char* name : {"50-etcd.yaml", "50-tcp.yaml", "60-ask.yaml"}) {
    dir_.Write(fmt::format("verifierd.conf.d/{}", name),
               testing::Slurp(fmt::format(
                   "{}/config/verifierd.conf.d/{}.example", kSource, name)));
  }
  ASSERT_OK_AND_ASSIGN(const VerifierdConfig config,
                       Load("", {{"CREDENTIALS_DIRECTORY", "/run/c"}}));
  ASSERT_TRUE(config.tcp.has_value());
  EXPECT_EQ(config.tcp->clients.size(), 4u);
  EXPECT_TRUE(config.etcd.has_value());
  EXPECT_TRUE(config.verification.webhook.has_value());
  EXPECT_EQ(config.verification.hosts.size(), 1u);
}

TEST_F(VerifierdConfigTest, WhatIsWrongIsNamedWithItsLine) {
  EXPECT_THAT(Load("state_dir: relative"),
              StatusIs(kInvalid, HasSubstr("v.yaml:1: state_dir: must be")));
  EXPECT_THAT(Load("verification: {enabled: false}"),
              StatusIs(kInvalid, HasSubstr("verification.enabled")));
  EXPECT_THAT(Load("log_level: info\nverification:\n  nope: 1"),
              StatusIs(kInvalid, HasSubstr("v.yaml:3: verification.nope")));
  EXPECT_THAT(
      Load(Tcp("identity: a:b\n        role: admin\n        vms: [\"*\"]")),
      StatusIs(kInvalid, HasSubstr("must be host, customer")));
  EXPECT_THAT(
      Load(Tcp("identity: a:b\n        role: host\n        vms: [\"*\"]")),
      StatusIs(kInvalid, HasSubstr("list none")));
  EXPECT_THAT(Load(Tcp("identity: a:b\n        role: customer")),
              StatusIs(kInvalid, HasSubstr("lists no VM")));
  EXPECT_THAT(Load("verification:\n  hosts:\n    - host_id: a\n"
                   "      address: h:1"),
              StatusIs(kInvalid, HasSubstr("verification.host_tls")));
  EXPECT_THAT(Load("verification:\n  webhook:\n    url: ftp://x"),
              StatusIs(kInvalid, HasSubstr("verification.webhook.url")));
  EXPECT_THAT(Load("ledger: {node: true}"),
              StatusIs(kInvalid, HasSubstr("ledger.origin")));
  EXPECT_THAT(Load("ledger: {node: true, origin: a, policy: b}"),
              StatusIs(kInvalid, HasSubstr("v.yaml:1: ledger.policy")));
  EXPECT_THAT(Load("limits:\n  max_watchers: 0"),
              StatusIs(kInvalid, HasSubstr("v.yaml:2: limits.max_watchers")));
}

TEST_F(VerifierdConfigTest, TheStoreIsAFileUnlessEtcdIsNamed) {
  ASSERT_OK_AND_ASSIGN(const VerifierdConfig file, Load(""));
  EXPECT_EQ(file.etcd, std::nullopt);
  const std::string etcd =
      "store:\n  etcd:\n    certificate: /c\n    private_key: /k\n"
      "    ca: /a\n";
  ASSERT_OK_AND_ASSIGN(const VerifierdConfig config,
                       Load(etcd + "    endpoints: [\"a:1\", \"b:2\"]"));
  ASSERT_TRUE(config.etcd.has_value());
  EXPECT_THAT(config.etcd->endpoints, ::testing::ElementsAre("a:1", "b:2"));
  EXPECT_EQ(config.etcd->certificate, "/c");
  EXPECT_EQ(config.etcd->prefix, "/vmattest/verifier/");
  EXPECT_FALSE(config.etcd->allow_unsafe_version);
  EXPECT_THAT(Load(etcd),
              StatusIs(kInvalid, HasSubstr("store.etcd.endpoints")));
  EXPECT_THAT(Load(etcd + "    endpoints: [\"a\"]"),
              StatusIs(kInvalid, HasSubstr("store.etcd.endpoints[0]")));
  EXPECT_THAT(Load(etcd + "    endpoints: [\"a:1\"]\n    prefix: /without-end"),
              StatusIs(kInvalid, HasSubstr("store.etcd.prefix")));
  EXPECT_THAT(Load("store:\n  etcd:\n    endpoints: [\"a:1\"]"),
              StatusIs(kInvalid, HasSubstr("store.etcd.certificate")));
}

TEST_F(VerifierdConfigTest, EnvironmentCounts) {
  ASSERT_OK_AND_ASSIGN(
      const VerifierdConfig config,
      Load("", {{"VMATTEST_VERIFIERD_METRICS__ADDRESS", "127.0.0.1:9465"}}));
  EXPECT_EQ(config.metrics_address, "127.0.0.1:9465");
}

TEST_F(VerifierdConfigTest, EveryKeyIsDocumented) {
  const std::string page = testing::Slurp(kSource + "/docs/configuration.md");
  const std::string verifier =
      page.substr(page.find("# Configuration of vmattest-verifierd"));
  const std::function<void(const google::protobuf::Descriptor&,
                           const std::string&)>
      check = [&](const google::protobuf::Descriptor& type,
                  const std::string& prefix) {
        for (int i = 0; i < type.field_count(); ++i) {
          const auto& field = *type.field(i);
          const std::string key = prefix + field.name();
          if (field.message_type() == nullptr) {
            EXPECT_THAT(verifier, HasSubstr(fmt::format("| `{}` |", key)));
          } else {
            check(*field.message_type(),
                  key + (field.is_repeated() ? "[]." : "."));
          }
        }
      };
  check(*v1::VerifierdConfig::descriptor(), "");
}

}  // namespace
}  // namespace vmattest::config
