// Disks through the real worker and QEMU's real reader of images.
#include "inspection/worker/worker_inspector.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "disk/file_block_source.h"
#include "disk/guest_digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_disk_exporter.h"
#include "inspection/worker/file_confinement.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::inspection {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::RunCommand;
using testing::StatusIs;

// qemu-img and the like, which take QEMU's locks.
absl::Status Qemu(const std::vector<std::string>& words) {
  return RunCommand(words).status();
}

class WorkerInspectorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::permissions(dir_.path(), fs::perms(0755));
    options_.server.socket_dir = dir_.path() / "sockets";
    if (geteuid() == 0) {
      options_.server.user = "nobody";
      pool_options_.user = "nobody";
    }
    pool_options_.program = VMATTEST_WORKER;
  }
  absl::StatusOr<DiskReport> Inspect(
      const DiskInspector::Request& request,
      hypervisor::DiskExporter* exporter = nullptr) {
    WorkerPool pool(pool_options_);
    WorkerInspector inspector(pool, image::MakeDirectHeaderParser, exporter,
                              options_);
    return inspector.Inspect(request);
  }
  static DiskInspector::Request Full(
      const fs::path& path, const std::string& format,
      HashAlgorithm algorithm = HashAlgorithm::kSha256) {
    return {.path = path,
            .format = format,
            .running_vm = {},
            .target = {},
            .algorithm = algorithm,
            .inside = InsidePolicy::kFull};
  }
  absl::StatusOr<DigestBytes> Digest(
      const fs::path& path, const std::string& format,
      HashAlgorithm algorithm = HashAlgorithm::kSha256) {
    ASSIGN_OR_RETURN(const DiskReport report,
                     Inspect(Full(path, format, algorithm)));
    return report.guest_digest.value_or(DigestBytes());
  }
  // Without QEMU and without a worker.
  static absl::StatusOr<DigestBytes> DigestOfRaw(const fs::path& path,
                                                 HashAlgorithm algorithm,
                                                 uint64_t size) {
    disk::FileBlockSource source(
        UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)), size);
    return disk::GuestDigest(source, algorithm, 0, {});
  }
  std::string MakeImage(const std::string& name, const std::string& format,
                        const std::string& size = "8M") {
    std::string path = dir_.path() / name;
    EXPECT_THAT(Qemu({"qemu-img", "create", "-f", format, path, size}), IsOk());
    EXPECT_THAT(
        Qemu({"qemu-io", "-f", format, "-c", "write -P 0x5a 1M 2M", path}),
        IsOk());
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }

  testing::TempDir dir_;
  WorkerPoolOptions pool_options_;
  WorkerInspector::Options options_;
};

TEST_F(WorkerInspectorTest, AllLayoutsOfOnePayloadHaveOneDigest) {
  VMATTEST_REQUIRE_VECTORS(images, "disk-images");
  const fs::path made = images / "made-with-qemu-img";
  for (const HashAlgorithm algorithm :
       {HashAlgorithm::kSha256, HashAlgorithm::kBlake3}) {
    ASSERT_OK_AND_ASSIGN(const DigestBytes payload,
                         DigestOfRaw(made / "payload.raw", algorithm,
                                     fs::file_size(made / "payload.raw")));
    EXPECT_EQ(*Digest(made / "payload.raw", "raw", algorithm), payload);
    for (const char* const layout :
         {"v2.qcow2", "v3-64k.qcow2", "zlib.qcow2", "lazy-refcount64.qcow2"}) {
      ASSERT_OK_AND_ASSIGN(const DigestBytes digest,
                           Digest(made / layout, "qcow2", algorithm));
      EXPECT_EQ(digest, payload) << layout;
    }
    ASSERT_OK_AND_ASSIGN(const DigestBytes overlaid,
                         Digest(made / "overlay.qcow2", "qcow2", algorithm));
    EXPECT_NE(overlaid, payload);
    ASSERT_OK_AND_ASSIGN(const DigestBytes apart,
                         Digest(made / "datafile.qcow2", "qcow2", algorithm));
    // The file is longer than the disk.
    EXPECT_EQ(apart, *DigestOfRaw(made / "external.raw", algorithm,
                                  fs::file_size(made / "payload.raw")));
  }
}

TEST_F(WorkerInspectorTest, HostileAndForeignImagesEndInErrors) {
  VMATTEST_REQUIRE_VECTORS(images, "disk-images");
  const fs::path libvirt = images / "libvirt/images";
  EXPECT_THAT(Digest(libvirt / "loop-self.qcow2", "qcow2"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("loops")));
  EXPECT_THAT(
      Digest(libvirt / "qcow2_nbd-raw.qcow2", "qcow2"),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("example.org"), HasSubstr("network backing"))));
  EXPECT_THAT(Digest(images / "qemu/empty.bochs", "bochs"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("format 'bochs' is not read")));
  for (const fs::directory_entry& image :
       fs::directory_iterator(images / "qemu")) {
    const std::string name = image.path().filename();
    if (name.rfind("afl", 0) == 0) {
      EXPECT_THAT(Digest(image.path(), "qcow2"), Not(IsOk())) << name;
    }
  }
  EXPECT_THAT(Digest(dir_.path() / "none", "raw"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(WorkerInspectorTest, MissingBackingFileIsNotFound) {
  const std::string top = dir_.path() / "top";
  const std::string base = MakeImage("base", "qcow2");
  ASSERT_THAT(Qemu({"qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b",
                    base, top}),
              IsOk());
  EXPECT_THAT(Digest(top, "qcow2"), IsOk());
  fs::remove(base);
  EXPECT_THAT(Digest(top, "qcow2"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(base)));
}

// Every metadata byte of a small image damaged in turn: QEMU refuses, or reads
// something; nobody crashes and nobody hangs.
TEST_F(WorkerInspectorTest, DamagedTablesEndInAnErrorOrAnotherDigest) {
  const std::string path = MakeImage("damaged", "qcow2");
  std::ifstream stream(path, std::ios::binary);
  const std::string sound{std::istreambuf_iterator<char>(stream), {}};
  stream.close();
  for (const size_t cluster : {1, 2, 3, 4}) {
    std::string bytes = sound;
    for (size_t i = 0; i < 4096; i += 8) {
      bytes[cluster * 65536 + i] = static_cast<char>(0xff);
    }
    const std::string damaged = dir_.Write("hostile", bytes);
    const absl::StatusOr<DigestBytes> digest = Digest(damaged, "qcow2");
    EXPECT_FALSE(absl::IsDeadlineExceeded(digest.status()));
    EXPECT_FALSE(absl::IsInternal(digest.status()))
        << digest.status().ToString();
  }
}

TEST_F(WorkerInspectorTest, EncryptedImageIsNamed) {
  const std::string path = dir_.path() / "encrypted";
  ASSERT_THAT(Qemu({"qemu-img", "create", "-q", "-f", "qcow2", "--object",
                    "secret,id=s,data=abc", "-o",
                    "encrypt.format=aes,encrypt.key-secret=s", path, "4M"}),
              IsOk());
  EXPECT_THAT(
      Digest(path, "qcow2"),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("encrypted")));
}

TEST_F(WorkerInspectorTest, ImageInUseIsNotReadButNamed) {
  for (const char* const format : {"raw", "qcow2"}) {
    const std::string path = MakeImage(format, format);
    const std::string pid_file = dir_.path() / "nbd.pid";
    ASSERT_THAT(Qemu({"qemu-nbd", "--fork", "-t", "-f", format, "-k",
                      dir_.path() / "nbd", "--pid-file", pid_file, path}),
                IsOk());
    EXPECT_THAT(Digest(path, format),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(path), HasSubstr("in use"))));
    pid_t pid = 0;
    std::ifstream(pid_file) >> pid;
    ASSERT_GT(pid, 0);
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    absl::Status status;
    do {
      status = Digest(path, format).status();
    } while (absl::IsFailedPrecondition(status) &&
             std::chrono::steady_clock::now() < until);
    EXPECT_THAT(status, IsOk());
  }
}

// What reads must not keep a VM from starting; it is told apart afterwards.
TEST_F(WorkerInspectorTest, WriterIsLetInAndTheResultThrownAway) {
  for (const char* const format : {"raw", "qcow2"}) {
    const std::string path = MakeImage(format, format);
    DiskInspector::Request request = Full(path, format);
    absl::Status written = absl::UnknownError("never asked");
    int asked = 0;
    request.cancelled = [&written, &asked, &path, format] {
      if (++asked == 2) {
        written =
            Qemu({"qemu-io", "-f", format, "-c", "write -P 1 0 64k", path});
      }
      return false;
    };
    EXPECT_THAT(Inspect(request), StatusIs(absl::StatusCode::kAborted,
                                           HasSubstr("changed while")));
    EXPECT_THAT(written, IsOk());
  }
}

TEST_F(WorkerInspectorTest, DeadlineEndsWhatTakesTooLong) {
  options_.limit = std::chrono::milliseconds(30);
  for (const char* const format : {"raw", "qcow2"}) {
    const std::string path = dir_.path() / format;
    ASSERT_THAT(Qemu({"qemu-img", "create", "-f", format, path, "256M"}),
                IsOk());
    ASSERT_THAT(
        Qemu({"qemu-io", "-f", format, "-c", "write -P 1 0 256M", path}),
        IsOk());
    EXPECT_THAT(Digest(path, format),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
    fs::remove(path);
  }
}

TEST_F(WorkerInspectorTest, CancelledInspectionEnds) {
  DiskInspector::Request request = Full(MakeImage("image", "qcow2"), "qcow2");
  request.cancelled = [] { return true; };
  EXPECT_THAT(Inspect(request), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(WorkerInspectorTest, RunningVmWithoutExporterIsSaidSo) {
  DiskInspector::Request request = Full(MakeImage("image", "raw"), "raw");
  request.running_vm = "4f1b1c9e-6f2b-4a53-9a0e-3c6f5a1d7e21";
  request.target = "vda";
  EXPECT_THAT(Inspect(request), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         HasSubstr("running VM")));
}

TEST_F(WorkerInspectorTest, RunningDiskHasTheDigestOfTheStoppedOne) {
  VMATTEST_REQUIRE_LIBVIRT_HOST();
  ASSERT_OK_AND_ASSIGN(const auto host, testing::LibvirtHost::Up("inspect"));
  hypervisor::LibvirtDiskExporter exporter(
      {.uri = host->uri(),
       .socket_dir = host->folder() / "views",
       .scratch_dir = host->folder() / "scratch",
       .keep_free_bytes = 1 << 20});
  const std::string path = host->folder() / "disk";
  fs::copy_file(MakeImage("image", "qcow2"), path);
  DiskInspector::Request request = Full(path, "qcow2");
  ASSERT_OK_AND_ASSIGN(const DiskReport stopped, Inspect(request));
  request.running_vm = "4f1b1c9e-6f2b-4a53-9a0e-3c6f5a1d7e21";
  request.target = "vda";
  ASSERT_OK_AND_ASSIGN(
      const auto xml,
      host->MakeDomain("web", {"uuid=" + request.running_vm, "kernel=none",
                               "mem=64", "disk=" + path + ":qcow2"}));
  ASSERT_THAT(host->Virsh({"create", xml}), IsOk());
  EXPECT_THAT(
      Digest(path, "qcow2"),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
  ASSERT_OK_AND_ASSIGN(const DiskReport running, Inspect(request, &exporter));
  EXPECT_EQ(running.guest_digest, stopped.guest_digest);
  EXPECT_EQ(running.leaves.size(), stopped.leaves.size());
}

TEST_F(WorkerInspectorTest, S25_ImageServerHasNoRightButToRead) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root to become another user";
  }
  const std::string path = MakeImage("image", "qcow2");
  image::ImageLayer layer;
  layer.path = path;
  layer.format = "qcow2";
  ASSERT_OK_AND_ASSIGN(
      const auto server,
      ImageServer::Start(
          {layer}, options_.server,
          {std::chrono::steady_clock::now() + std::chrono::seconds(30), {}}));
  std::ifstream file(fmt::format("/proc/{}/status", server->pid()));
  const std::string status{std::istreambuf_iterator<char>(file), {}};
  const uid_t nobody = ipc::FindUser("nobody")->uid;
  EXPECT_THAT(status,
              HasSubstr(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}", nobody)));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  // CAP_DAC_READ_SEARCH and nothing else.
  for (const char* const set : {"CapEff", "CapPrm", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(fmt::format("{}:\t0000000000000004", set)));
  }
  EXPECT_TRUE(fs::is_empty(options_.server.socket_dir));
}

TEST_F(WorkerInspectorTest, S25_NoFileIsReadBesideTheLayers) {
  const std::string inside = dir_.Write("inside", "x");
  const std::string outside = dir_.Write("outside", "x");
  ASSERT_OK_AND_ASSIGN(const UniqueFd ruleset,
                       ConfineTo({inside}, dir_.path()));
  if (!ruleset.valid()) {
    GTEST_SKIP() << "this kernel has no Landlock";
  }
  for (const std::string& path : {inside, outside}) {
    ipc::ChildOptions child;
    child.program = "/usr/bin/head";
    child.arguments = {"head", "-c1", path};
    child.read_all_files = true;
    child.landlock = ruleset.get();
    ASSERT_OK_AND_ASSIGN(ipc::ChildProcess::Spawned spawned,
                         ipc::ChildProcess::Spawn(child));
    EXPECT_EQ(*spawned.process.Wait(ipc::kNoDeadline),
              path == inside ? "exited with status 0" : "exited with status 1");
  }
}

}  // namespace
}  // namespace vmattest::inspection
