#include <fstream>
#include <functional>
#include <set>

#include "config/daemon_config.h"
#include "config/daemon_schema.h"
#include "fmt/format.h"
#include "google/protobuf/util/message_differencer.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "yaml/yaml_message.h"

namespace vmattest::config {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

const std::string kSource = VMATTEST_SOURCE_DIR;

TEST(ShippedConfig, SpellsOutTheDefaults) {
  v1::DaemonConfig shipped;
  ASSERT_THAT(
      yaml::MergeYamlFile(kSource + "/config/vmattestd.yaml", shipped, nullptr),
      IsOk());
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(DefaultMessage(), shipped)) << difference;
}

TEST(ShippedConfig, LoadsWithItsExamples) {
  EXPECT_THAT(LoadDaemonConfig(kSource + "/config/vmattestd.yaml", {}), IsOk());
  yaml::Origins origins;
  v1::DaemonConfig message = DefaultMessage();
  ASSERT_THAT(
      yaml::MergeYamlFile(kSource + "/config/conf.d/50-tcp.yaml.example",
                          message, &origins),
      IsOk());
  EXPECT_THAT(FromMessage(message, origins,
                          {{"CREDENTIALS_DIRECTORY", "/run/credentials/x"}}),
              IsOk());
}

// Every key of the schema has a row in docs/configuration.md.
TEST(ShippedConfig, EveryKeyIsDocumented) {
  const std::string page = testing::Slurp(kSource + "/docs/configuration.md");
  const std::function<void(const google::protobuf::Descriptor&,
                           const std::string&)>
      check = [&](const google::protobuf::Descriptor& type,
                  const std::string& prefix) {
        for (int i = 0; i < type.field_count(); ++i) {
          const auto& field = *type.field(i);
          const std::string key = prefix + field.name();
          if (field.message_type() == nullptr) {
            EXPECT_THAT(page, HasSubstr(fmt::format("| `{}` |", key)));
          } else {
            check(*field.message_type(),
                  key + (field.is_repeated() ? "[]." : "."));
          }
        }
      };
  check(*v1::DaemonConfig::descriptor(), "");
}

}  // namespace
}  // namespace vmattest::config
