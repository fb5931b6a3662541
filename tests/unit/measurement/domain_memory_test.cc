#include "measurement/domain_memory.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::measurement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string Domain(std::string_view more) {
  return std::string(
             "<domain type='kvm' "
             "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
             "<memory unit='KiB'>4718592</memory>"
             "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>") +
         std::string(more) + "</domain>";
}

TEST(ParseDomainMemory, TakesDevicesOffWhatItBootedWith) {
  ASSERT_OK_AND_ASSIGN(
      const memory::DomainMemory memory,
      ParseDomainMemory(Domain(
          "<cpu><numa><cell id='0' memory='1048576' unit='KiB'/>"
          "<cell id='1' memory='3072' unit='MiB'/></numa></cpu>"
          "<devices><memory model='dimm'><target><size unit='KiB'>524288</size>"
          "</target><alias name='dimm0'/>"
          "<address type='dimm' slot='0' base='0x140000000'/></memory>"
          "</devices>")));
  EXPECT_EQ(memory.machine, "pc-q35-7.2");
  EXPECT_EQ(memory.boot_bytes, 4096 * kMiB);
  EXPECT_THAT(memory.cells, ElementsAre(1024 * kMiB, 3072 * kMiB));
  ASSERT_EQ(memory.devices.size(), 1U);
  EXPECT_EQ(memory.devices[0].bytes, 512 * kMiB);
  EXPECT_EQ(memory.devices[0].address, 0x140000000U);
}

// The first as libvirt 9.0 has it, the other as later ones do.
TEST(ParseDomainMemory, KnowsWhereVirtioMemIsIfThatIsTold) {
  const std::string device =
      "<memory model='virtio-mem'><target><size unit='KiB'>262144</size>"
      "<node>0</node><block unit='KiB'>2048</block>"
      "<requested unit='KiB'>131072</requested>"
      "<current unit='KiB'>0</current>{}</target><alias name='virtiomem0'/>"
      "<address type='pci' domain='0x0000' bus='0x03' slot='0x00'/></memory>";
  ASSERT_OK_AND_ASSIGN(
      const memory::DomainMemory memory,
      ParseDomainMemory(Domain(
          "<devices>" + fmt::format(fmt::runtime(device), "") +
          fmt::format(fmt::runtime(device), "<address base='0x140000000'/>") +
          "</devices>")));
  EXPECT_EQ(memory.boot_bytes, 4096 * kMiB);
  ASSERT_EQ(memory.devices.size(), 2U);
  EXPECT_EQ(memory.devices[0].bytes, 256 * kMiB);
  EXPECT_EQ(memory.devices[0].address, std::nullopt);
  EXPECT_EQ(memory.devices[0].block_bytes, 2 * kMiB);
  EXPECT_EQ(memory.devices[1].address, 0x140000000U);
}

TEST(ParseDomainMemory, NoticesWhatHidesOrMovesMemory) {
  EXPECT_EQ(ParseDomainMemory(Domain("<launchSecurity type='sev'/>"))
                ->launch_security,
            "sev");
  EXPECT_TRUE(ParseDomainMemory(Domain("<qemu:commandline/>"))->own_arguments);
  EXPECT_FALSE(ParseDomainMemory(Domain("<commandline/>"))->own_arguments);
}

TEST(ParseDomainMemory, SaysWhatIsNoSize) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ParseDomainMemory("<network/>"), StatusIs(kInvalid));
  EXPECT_THAT(
      ParseDomainMemory(Domain("<cpu><numa><cell memory='x'/></numa></cpu>")),
      StatusIs(kInvalid, HasSubstr("<cell>: no size")));
  EXPECT_THAT(ParseDomainMemory(Domain(
                  "<devices><memory model='dimm'><target><size "
                  "unit='KiB'>99999999</size></target></memory></devices>")),
              StatusIs(kInvalid, HasSubstr("less than its devices")));
}

}  // namespace
}  // namespace vmattest::measurement
