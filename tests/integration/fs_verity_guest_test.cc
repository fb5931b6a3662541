// fs-verity where a kernel has it: in a guest, on ext4.
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest::image {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using testing::RunCommand;

constexpr char kJob[] = R"(#!/bin/busybox sh
mkdir /disk
mount -t ext4 /dev/vda /disk || echo "JOB no mount"
printf 'hello\n' >/disk/plain
printf 'hello\n' >/disk/sealed
printf 'hello\n' >/tmp/memory
fsverity enable /disk/sealed
{ printf 'other\n' >/disk/sealed; } 2>/dev/null && echo "JOB was written"
measure_verity /disk/plain /disk/sealed /tmp/memory /disk/none |
  sed 's/^/JOB /'
echo JOB-DONE
)";

TEST(FsVerityGuest, S15_KernelsDigestIsReadOnARealFileSystem) {
  VMATTEST_REQUIRE_LIBVIRT_HOST();
  ASSERT_OK_AND_ASSIGN(const auto host, LibvirtHost::Up("verity"));
  const std::string folder = host->folder();
  const std::string image = folder + "/verity.img";
  ASSERT_THAT(RunCommand({"truncate", "-s", "32M", image}), IsOk());
  ASSERT_THAT(
      RunCommand({"mkfs.ext4", "-q", "-b", "4096", "-O", "verity", image}),
      IsOk());
  ASSERT_OK_AND_ASSIGN(
      const std::string initrd,
      host->AddJob(kJob, {VMATTEST_MEASURE_VERITY, "/usr/bin/fsverity"}));
  ASSERT_OK_AND_ASSIGN(const auto xml,
                       host->MakeDomain("verity", {"disk=" + image + ":raw",
                                                   "initrd=" + initrd}));
  ASSERT_THAT(host->Virsh({"create", xml}), IsOk());
  ASSERT_TRUE(host->AwaitConsole("verity", "JOB-DONE"))
      << host->Console("verity");
  const std::string said = host->Console("verity");
  const std::string hello = folder + "/hello";
  std::ofstream(hello) << "hello\n";
  ASSERT_OK_AND_ASSIGN(std::string computed,
                       RunCommand({"fsverity", "digest", "--compact", hello}));
  std::istringstream(computed) >> computed;
  EXPECT_THAT(said, HasSubstr("JOB /disk/plain none"));
  EXPECT_THAT(said, HasSubstr("JOB /disk/none NOT_FOUND"));
  EXPECT_THAT(said, HasSubstr("JOB /tmp/memory none"));
  EXPECT_THAT(said, HasSubstr("JOB /disk/sealed sha256:" + computed));
  EXPECT_THAT(said, Not(HasSubstr("JOB was written")));
}

}  // namespace
}  // namespace vmattest::image
