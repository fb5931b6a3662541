// Views of running disks, from a real libvirtd and a guest that never stops
// writing.
#include "hypervisor/libvirt/libvirt_disk_exporter.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/bytes.h"
#include "base/handles.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest::hypervisor {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::Not;
using testing::RunCommand;
using testing::StatusIs;

constexpr uint64_t kSize = uint64_t{64} << 20;
// Two places of the disk, far apart, that the guest writes one after the other.
constexpr uint64_t kFirst = 0;
constexpr uint64_t kSecond = uint64_t{48} << 20;

// Counts: each number goes to the first place, then to the second, and only
// then comes the next. Between the two lies room that is overwritten as fast
// as the disk takes it.
constexpr char kJob[] = R"(#!/bin/busybox sh
fill() {
  dd if=/dev/urandom of=/dev/vda bs=1M seek=1 count=32 conv=notrunc,fsync \
    2>/dev/null || echo "JOB write failed"
}
fill
number=1000000
while :; do
  number=$((number + 1))
  echo $number | dd of=/dev/vda bs=512 conv=notrunc,fsync 2>/dev/null ||
    echo "JOB write failed"
  echo $number | dd of=/dev/vda bs=512 seek=98304 conv=notrunc,fsync \
    2>/dev/null || echo "JOB write failed"
  [ $number != 1000003 ] || echo JOB-COUNTS
done &
while :; do fill; done
)";

uint64_t Number(const Bytes& disk, uint64_t at) {
  return std::strtoull(reinterpret_cast<const char*>(disk.data()) + at, nullptr,
                       10);
}

class DiskExportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("export"));
    exporter_ = std::make_unique<LibvirtDiskExporter>(Options());
  }
  [[nodiscard]] LibvirtDiskExporter::Options Options() const {
    return {.uri = host_->uri(),
            .socket_dir = host_->folder() / "views",
            .scratch_dir = host_->folder() / "scratch",
            .keep_free_bytes = 1 << 20};
  }
  [[nodiscard]] std::string Image() const { return host_->folder() / "disk"; }

  // A guest that writes and writes to its disk of this format.
  void Run(const std::string& format, bool with_guest = true) {
    ASSERT_THAT(RunCommand({"qemu-img", "create", "-f", format, Image(),
                            std::to_string(kSize)}),
                IsOk());
    std::vector<std::string> options = {"uuid=" + ToString(uuid_),
                                        "disk=" + Image() + ":" + format};
    if (with_guest) {
      ASSERT_OK_AND_ASSIGN(const std::string initrd, host_->AddJob(kJob, {}));
      options.push_back("initrd=" + initrd);
    } else {
      options.emplace_back("kernel=none");
      options.emplace_back("mem=64");
    }
    ASSERT_OK_AND_ASSIGN(const auto xml, host_->MakeDomain("web", options));
    ASSERT_THAT(host_->Virsh({"define", xml}), IsOk());
    ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
    if (with_guest) {
      ASSERT_TRUE(host_->AwaitConsole("web", "JOB-COUNTS"))
          << host_->Console("web");
    }
  }
  absl::StatusOr<std::unique_ptr<DiskExport>> View() {
    return exporter_->Export(uuid_, "vda");
  }
  [[nodiscard]] absl::StatusOr<Bytes> Read(const DiskExport& view) const {
    const std::string copy = host_->folder() / "copy";
    RETURN_IF_ERROR(RunCommand({"qemu-img", "convert", "-f", "raw", "-O", "raw",
                                fmt::format("nbd+unix:///{}?socket={}",
                                            view.export_name(), view.socket()),
                                copy})
                        .status());
    std::ifstream stream(copy, std::ios::binary);
    return Bytes{std::istreambuf_iterator<char>(stream), {}};
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(host_->Virsh({"backup-dumpxml", "web"}), Not(IsOk()));
    for (const char* const folder : {"views", "scratch"}) {
      EXPECT_TRUE(fs::is_empty(host_->folder() / folder)) << folder;
    }
  }
  void ExpectOnePointInTime(const std::string& format) {
    Run(format);
    ASSERT_OK_AND_ASSIGN(auto view, View());
    ASSERT_OK_AND_ASSIGN(const Bytes once, Read(*view));
    ASSERT_EQ(once.size(), kSize);
    const uint64_t first = Number(once, kFirst);
    const uint64_t second = Number(once, kSecond);
    EXPECT_GT(second, 1000000u);
    EXPECT_TRUE(first == second || first == second + 1)
        << first << " " << second;
    ASSERT_OK_AND_ASSIGN(const Bytes again, Read(*view));
    EXPECT_EQ(Hash(HashAlgorithm::kSha256, again),
              Hash(HashAlgorithm::kSha256, once));
    view.reset();
    ExpectNothingLeft();
    // The guest went on, and the next view shows it.
    ASSERT_OK_AND_ASSIGN(view, View());
    ASSERT_OK_AND_ASSIGN(const Bytes later, Read(*view));
    EXPECT_GT(Number(later, kFirst), first);
    EXPECT_THAT(host_->Console("web"), Not(HasSubstr("JOB write failed")));
  }

  const Uuid uuid_ = *ParseUuid("4f1b1c9e-6f2b-4a53-9a0e-3c6f5a1d7e21");
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<LibvirtDiskExporter> exporter_;
};

TEST_F(DiskExportTest, RawDiskIsSeenAtOnePointInTime) {
  ExpectOnePointInTime("raw");
}

TEST_F(DiskExportTest, Qcow2DiskIsSeenAtOnePointInTime) {
  ExpectOnePointInTime("qcow2");
}

TEST_F(DiskExportTest, ShutOffOrUnknownVmAndUnknownDiskAreNotFound) {
  EXPECT_THAT(View(), StatusIs(absl::StatusCode::kNotFound));
  Run("raw", false);
  EXPECT_THAT(exporter_->Export(uuid_, "vdx"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("vdx")));
  ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk());
  EXPECT_THAT(View(), StatusIs(absl::StatusCode::kNotFound,
                               HasSubstr("is not running")));
}

TEST_F(DiskExportTest, ForeignJobIsRespectedAndSaidSo) {
  Run("raw", false);
  const std::string job = host_->folder() / "foreign.xml";
  std::ofstream(job) << fmt::format(
      "<domainbackup mode='pull'><server transport='unix' socket='{0}'/>"
      "<disks><disk name='vda' backup='yes' type='file'>"
      "<scratch file='{1}'/></disk></disks></domainbackup>",
      (host_->folder() / "foreign.sock").string(),
      (host_->folder() / "foreign.qcow2").string());
  ASSERT_THAT(host_->Virsh({"backup-begin", "web", job}), IsOk());
  EXPECT_THAT(View(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("domain 'web', disk vda")));
  EXPECT_THAT(exporter_->AbortLeftOvers(), IsOk());
  EXPECT_THAT(host_->Virsh({"backup-dumpxml", "web"}), IsOk());
}

TEST_F(DiskExportTest, JobLeftByACrashIsEndedByTheNextOne) {
  Run("raw", false);
  for (const bool at_start : {true, false}) {
    // As a crash leaves it: nobody's destructor runs.
    ASSERT_OK_AND_ASSIGN(auto lost, View());
    const DiskExport* const leaked = lost.release();
    EXPECT_THAT(host_->Virsh({"backup-dumpxml", "web"}), IsOk());
    LibvirtDiskExporter next(Options());
    if (at_start) {
      ASSERT_THAT(next.AbortLeftOvers(), IsOk());
      ExpectNothingLeft();
    } else {
      EXPECT_THAT(next.Export(uuid_, "vda"), IsOk());
    }
    delete leaked;
  }
  ExpectNothingLeft();
}

TEST_F(DiskExportTest, OneViewOfAVmAtATime) {
  Run("raw", false);
  ASSERT_OK_AND_ASSIGN(auto view, View());
  std::atomic<bool> had_turn = false;
  std::thread other([this, &had_turn] {
    EXPECT_THAT(View(), IsOk());
    had_turn = true;
  });
  ASSERT_THAT(Read(*view), IsOk());
  EXPECT_FALSE(had_turn);
  view.reset();
  other.join();
  ExpectNothingLeft();
}

TEST_F(DiskExportTest, OutlivesALibvirtdThatStartsAnew) {
  Run("raw");
  ASSERT_OK_AND_ASSIGN(auto view, View());
  ASSERT_OK_AND_ASSIGN(const Bytes before, Read(*view));
  ASSERT_THAT(host_->StopLibvirtd("KILL"), IsOk());
  EXPECT_THAT(exporter_->AbortLeftOvers(),
              StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Bytes after, Read(*view));
  EXPECT_EQ(before, after);
  view.reset();
  ExpectNothingLeft();
}

TEST_F(DiskExportTest, EndsWithTheGuest) {
  Run("raw", false);
  ASSERT_OK_AND_ASSIGN(auto view, View());
  ASSERT_THAT(host_->KillGuest("web"), IsOk());
  EXPECT_THAT(Read(*view), Not(IsOk()));
  view.reset();
  EXPECT_TRUE(fs::is_empty(host_->folder() / "scratch"));
}

TEST_F(DiskExportTest, RefusesWithoutRoomForScratch) {
  Run("raw", false);
  LibvirtDiskExporter::Options options = Options();
  options.keep_free_bytes = uint64_t{1} << 60;
  EXPECT_THAT(LibvirtDiskExporter(options).Export(uuid_, "vda"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("bytes are free")));
}

TEST_F(DiskExportTest, GivesTheViewUpBeforeTheGuestsWritesFail) {
  // A file system of its own, made before the host's namespaces.
  const testing::TempDir dir;
  const std::string small = dir.path() / "small";
  const std::string mounted = dir.path() / "mounted";
  fs::permissions(dir.path(), fs::perms(0711), fs::perm_options::add);
  fs::create_directory(mounted);
  ASSERT_THAT(RunCommand({"truncate", "-s", "64M", small}), IsOk());
  ASSERT_THAT(RunCommand({"mkfs.ext4", "-q", small}), IsOk());
  ASSERT_THAT(RunCommand({"mount", "-o", "loop", small, mounted}), IsOk());
  ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("scratch"));
  Run("raw");
  LibvirtDiskExporter::Options options = Options();
  options.scratch_dir = mounted;
  options.keep_free_bytes = uint64_t{32} << 20;
  LibvirtDiskExporter exporter(options);
  ASSERT_OK_AND_ASSIGN(auto view, exporter.Export(uuid_, "vda"));
  // The guest overwrites 32 MiB again and again; about 20 fit.
  while (host_->Virsh({"backup-dumpxml", "web"}).ok()) {
  }
  EXPECT_THAT(Read(*view), Not(IsOk()));
  view.reset();
  EXPECT_THAT(host_->Console("web"), Not(HasSubstr("JOB write failed")));
  host_.reset();
  EXPECT_EQ(umount2(mounted.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace vmattest::hypervisor
