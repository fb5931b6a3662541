#include "guestchannel/channel_path.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::guestchannel {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::StatusIs;

std::string Domain(const std::string& devices) {
  return fmt::format("<domain><devices>{}</devices></domain>", devices);
}

std::string Channel(const std::string& name, const std::string& source,
                    const std::string& type = "unix") {
  return fmt::format(
      "<channel type='{}'>{}<target type='virtio' name='{}' "
      "state='disconnected'/><alias name='channel0'/></channel>",
      type, source, name);
}

constexpr char kSource[] = "<source mode='bind' path='/run/agent.sock'/>";
constexpr char kName[] = "org.vmattest.agent.0";

TEST(ChannelPathTest, IsThatOfTheAgentsPort) {
  ASSERT_OK_AND_ASSIGN(
      const std::string path,
      FindChannelPath(Domain(
          Channel("org.qemu.guest_agent.0", "<source mode='bind' path='/q'/>") +
          Channel(kName, kSource))));
  EXPECT_EQ(path, "/run/agent.sock");
}

TEST(ChannelPathTest, ADomainWithoutThePortHasNone) {
  for (const std::string& xml :
       {std::string("<domain/>"), Domain(""),
        Domain(Channel("org.vmattest.agent.1", kSource))}) {
    EXPECT_THAT(FindChannelPath(xml), StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_THAT(FindChannelPath("nothing"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ChannelPathTest, APortThatCannotBeConnectedToIsRefusedByName) {
  const auto refused = [](const std::string& devices, const std::string& why) {
    EXPECT_THAT(FindChannelPath(Domain(devices)),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         ::testing::AllOf(HasSubstr(kName), HasSubstr(why))));
  };
  refused(Channel(kName, kSource) + Channel(kName, kSource), "two");
  refused(Channel(kName, "", "pty"), "unix");
  refused(Channel(kName, ""), "bind");
  refused(Channel(kName, "<source mode='connect' path='/a'/>"), "bind");
  refused(Channel(kName, "<source mode='bind' path='a'/>"), "path");
  refused(Channel(kName, "<source mode='bind'/>"), "path");
  refused(Channel(kName, fmt::format("<source mode='bind' path='/{}'/>",
                                     std::string(107, 'a'))),
          "path");
}

}  // namespace
}  // namespace vmattest::guestchannel
