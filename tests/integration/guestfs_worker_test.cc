// XFS, btrfs and LVM through the real libguestfs. Its appliance takes seconds
// to start where there is no KVM, so one disk has everything.
#include <unistd.h>

#include <fstream>
#include <map>
#include <regex>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_disk_exporter.h"
#include "inspection/worker/worker_inspector.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "support/temp_dir.h"

namespace vmattest::inspection {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::RunCommand;
using testing::StatusIs;

using Leaves = std::map<std::string, std::string>;

constexpr uint64_t kMiB = uint64_t{1} << 20;
std::string StatusFile(const std::string& version) {
  return "Package: bash\nStatus: install ok installed\nVersion: " + version +
         "\nArchitecture: amd64\n\n";
}

// What makes a root, on every file system of the disk with another version, so
// that each can be found in the image.
void MakeRoot(const fs::path& folder, const std::string& version) {
  const std::map<std::string, std::string> files = {
      {"var/lib/dpkg/status", StatusFile(version)},
      {"var/lib/dpkg/info/bash.md5sums", "0123  usr/bin/bash\n"},
      {"usr/lib/os-release", "ID=debian\nVERSION_ID=12\n"},
      {"boot/vmlinuz-6.1", "kernel of " + version},
      {"boot/grub/grub.cfg", "linux /vmlinuz-6.1\n"}};
  for (const auto& [path, content] : files) {
    fs::create_directories((folder / path).parent_path());
    std::ofstream(folder / path) << content;
  }
  fs::create_directories(folder / "etc");
  fs::create_symlink("../usr/lib/os-release", folder / "etc/os-release");
}

// In groups that workers lead, so that nothing of them can hide.
std::vector<std::string> ProcessesIn(const std::string& folder) {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::error_code error;
    if (text.find("TMPDIR=" + folder) != std::string::npos) {
      found.push_back(fs::read_symlink(entry.path() / "exe", error));
    }
  }
  return found;
}

class GuestfsWorkerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new testing::TempDir();
    fs::permissions(shared_->path(), fs::perms(0755));
    ASSERT_THAT(RunCommand({VMATTEST_MAKE_APPLIANCE, VMATTEST_APPLIANCE,
                            VMATTEST_GUEST}),
                IsOk());
    // The user of workers may not get into the build folder.
    ASSERT_THAT(
        RunCommand({"cp", "-rL", "--sparse=always", VMATTEST_APPLIANCE "/fixed",
                    VMATTEST_APPLIANCE "/vmlinuz",
                    VMATTEST_APPLIANCE "/modules", shared_->path()}),
        IsOk());
    MakeDisk();
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

  // GPT: XFS root; btrfs with a root in a subvolume; two physical volumes of
  // one group with an ext4 root and an XFS; a squashfs; a physical volume whose
  // group has another one elsewhere.
  static void MakeDisk() {
    const fs::path folder = shared_->path();
    const std::map<std::string, std::string> roots = {{"xfs", "1.1-xfs"},
                                                      {"btrfs", "1.1-btrfs"},
                                                      {"ext4", "1.1-ext4"},
                                                      {"data", "1.1-data"}};
    for (const auto& [name, version] : roots) {
      MakeRoot(folder / name, version);
      ASSERT_THAT(
          RunCommand({"tar", "-C", folder / name, "--owner=0", "--group=0",
                      "-cf", folder / (name + ".tar"), "."}),
          IsOk());
    }
    MakeRoot(folder / "squash", "1.1-squash");
    ASSERT_THAT(RunCommand({"mksquashfs", folder / "squash",
                            folder / "squash.img", "-quiet", "-no-progress"}),
                IsOk());
    const std::string script = fmt::format(R"(
sparse {0}/disk.raw 1400M
sparse {0}/elsewhere.raw 64M
run
part-init /dev/sda gpt
part-add /dev/sda p 2048 718847
part-add /dev/sda p 718848 1128447
part-add /dev/sda p 1128448 1537023
part-add /dev/sda p 1537024 2355199
part-add /dev/sda p 2355200 2375679
part-add /dev/sda p 2375680 2475679
mkfs xfs /dev/sda1
mount /dev/sda1 /
tar-in {0}/xfs.tar /
umount /
mkfs btrfs /dev/sda2
mount /dev/sda2 /
btrfs-subvolume-create /@rootfs
tar-in {0}/btrfs.tar /@rootfs
btrfs-subvolume-create /empty
umount /
pvcreate /dev/sda3
pvcreate /dev/sda4
vgcreate vg "/dev/sda3 /dev/sda4"
lvcreate root vg 64
lvcreate data-1 vg 400
mkfs ext4 /dev/vg/root
mount /dev/vg/root /
tar-in {0}/ext4.tar /
umount /
mkfs xfs /dev/vg/data-1
mount /dev/vg/data-1 /
tar-in {0}/data.tar /
umount /
upload {0}/squash.img /dev/sda5
pvcreate /dev/sda6
pvcreate /dev/sdb
vgcreate halved "/dev/sda6 /dev/sdb"
vg-activate-all false
)",
                                           folder.string());
    std::ofstream(folder / "script") << script;
    ASSERT_THAT(
        RunCommand({"env", "LIBGUESTFS_BACKEND=direct",
                    "LIBGUESTFS_BACKEND_SETTINGS=force_tcg",
                    fmt::format("LIBGUESTFS_PATH={}/fixed", folder.string()),
                    "guestfish", "-f", folder / "script"}),
        IsOk());
  }

  void SetUp() override {
    fs::permissions(dir_.path(), fs::perms(0755));
    options_.server.socket_dir = dir_.path() / "sockets";
    if (geteuid() == 0) {
      options_.server.user = "nobody";
      native_.user = "nobody";
      guestfs_.user = "nobody";
    }
    native_.program = VMATTEST_WORKER;
    guestfs_ = ForGuestfs(guestfs_, std::chrono::minutes(8));
    guestfs_.program = VMATTEST_GUESTFS_WORKER;
    guestfs_.launcher->scratch_dir = dir_.path() / "scratch";
    guestfs_.launcher->appliance = shared_->path() / "fixed";
    options_.guestfs.limit = std::chrono::minutes(8);
    options_.guestfs.force_tcg = true;
  }
  absl::StatusOr<Leaves> Inspect(const fs::path& path,
                                 const std::string& format = "raw") {
    WorkerPool native(native_);
    WorkerPool guestfs(guestfs_);
    options_.guestfs.pool = use_guestfs_ ? &guestfs : nullptr;
    WorkerInspector inspector(native, image::MakeDirectHeaderParser, exporter_,
                              options_);
    DiskInspector::Request request;
    request.path = path;
    request.cancelled = cancelled_;
    request.running_vm = running_vm_;
    request.target = "vda";
    request.format = format;
    ASSIGN_OR_RETURN(const DiskReport report, inspector.Inspect(request));
    EXPECT_THAT(report.unread, IsEmpty());
    Leaves leaves;
    for (const ConfigLeaf& leaf : report.leaves) {
      EXPECT_TRUE(
          leaves
              .emplace(leaf.path,
                       fmt::format("{} {}", std::string(ToString(leaf.type)),
                                   leaf.value))
              .second)
          << leaf.path;
    }
    return leaves;
  }
  // All superblocks of the second XFS, on LVM, but their magic numbers.
  static void DamageXfsOnLvm(const fs::path& file) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    std::string piece(kMiB, '\0');
    int found = 0;
    // From behind the first partition; 512 bytes are a superblock, of which
    // every allocation group has one.
    for (uint64_t at = 352 * kMiB; at < fs::file_size(file); at += kMiB) {
      stream.clear();
      stream.seekg(static_cast<std::streamoff>(at));
      stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      for (size_t i = 0; i < piece.size(); i += 512) {
        if (piece.compare(i, 4, "XFSB") == 0) {
          stream.clear();
          stream.seekp(static_cast<std::streamoff>(at + i + 4));
          stream << std::string(508, '\xa5');
          ++found;
        }
      }
    }
    EXPECT_GT(found, 0);
  }
  static std::string KernelVersion() {
    const fs::path modules = fs::canonical(VMATTEST_APPLIANCE "/modules");
    return modules.filename();
  }
  void ExpectNothingLeft() {
    const std::string scratch = dir_.path() / "scratch";
    EXPECT_THAT(ProcessesIn(scratch), IsEmpty());
    EXPECT_TRUE(fs::is_empty(scratch));
  }

  static testing::TempDir* shared_;
  testing::TempDir dir_;
  WorkerPoolOptions native_;
  WorkerPoolOptions guestfs_;
  WorkerInspector::Options options_;
  std::function<bool()> cancelled_;
  hypervisor::DiskExporter* exporter_ = nullptr;
  std::string running_vm_;
  bool use_guestfs_ = true;
};

testing::TempDir* GuestfsWorkerTest::shared_ = nullptr;

// Random, or of no interest.
bool IsOfTheTable(const std::string& path) {
  static const std::regex table(
      R"(boot-code|table/.*|partition\[\d\]/(guid|name|start|size|type))");
  return std::regex_match(path, table);
}
bool IsRandom(const std::string& path) {
  return path.find("uuid") != std::string::npos;
}

// A system as MakeRoot() makes it, below `prefix`.
void AddRoot(const std::string& prefix, const std::string& version,
             Leaves& wanted) {
  const auto digest = [](const std::string& content) {
    return "sha256:" + ToHex(Hash(HashAlgorithm::kSha256, AsBytes(content)));
  };
  wanted[prefix + "/os"] = "text debian 12";
  wanted[prefix + "/packages/dpkg"] = "text 1";
  wanted[prefix + "/package[bash:amd64]"] = fmt::format(
      "text {} md5sums={}", version, digest("0123  usr/bin/bash\n"));
  wanted[prefix + "/boot[boot/vmlinuz-6.1]"] =
      "digest " + digest("kernel of " + version);
  wanted[prefix + "/boot[boot/grub/grub.cfg]"] =
      "digest " + digest("linux /vmlinuz-6.1\n");
}

Leaves WantedLeaves() {
  Leaves wanted = {
      {"table", "text gpt"},
      {"partition[1]/filesystem", "text xfs"},
      {"partition[1]/journal", "text clean"},
      {"partition[2]/filesystem", "text btrfs"},
      {"partition[2]/filesystem/default-subvolume", "text 5"},
      {"partition[2]/journal", "text clean"},
      {"partition[2]/subvolume[@rootfs]/id", "text 256"},
      {"partition[2]/subvolume[empty]/id", "text 257"},
      {"partition[3]/filesystem", "text lvm2"},
      {"partition[3]/pv/group", "text vg"},
      {"partition[3]/lv[vg/root]/size", "size 67108864"},
      {"partition[3]/lv[vg/root]/filesystem", "text ext4"},
      {"partition[3]/lv[vg/root]/journal", "text clean"},
      {"partition[3]/lv[vg/data-1]/size", "size 419430400"},
      {"partition[3]/lv[vg/data-1]/filesystem", "text xfs"},
      {"partition[3]/lv[vg/data-1]/journal", "text clean"},
      {"partition[4]/filesystem", "text lvm2"},
      {"partition[4]/pv/group", "text vg"},
      {"partition[5]/filesystem", "text squashfs"},
      {"partition[6]/filesystem", "text lvm2"},
      {"partition[6]/pv/group", "text halved"},
      {"partition[6]",
       "unavailable LVM: 1 of the 2 physical volumes of its group are not on "
       "this disk"}};
  AddRoot("partition[1]", "1.1-xfs", wanted);
  AddRoot("partition[2]/subvolume[@rootfs]", "1.1-btrfs", wanted);
  AddRoot("partition[3]/lv[vg/root]", "1.1-ext4", wanted);
  AddRoot("partition[3]/lv[vg/data-1]", "1.1-data", wanted);
  AddRoot("partition[5]", "1.1-squash", wanted);
  return wanted;
}

// Puts `to`, which is as long, where `from` is in the file, wherever that is.
void Replace(const fs::path& file, const std::string& from,
             const std::string& to) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  std::string piece(64 * kMiB, '\0');
  int found = 0;
  for (uint64_t at = 0; at < fs::file_size(file); at += piece.size() - 4096) {
    stream.clear();
    stream.seekg(static_cast<std::streamoff>(at));
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto got = static_cast<size_t>(stream.gcount());
    for (size_t i = piece.find(from); i != std::string::npos && i < got;
         i = piece.find(from, i + 1)) {
      stream.clear();
      stream.seekp(static_cast<std::streamoff>(at + i));
      stream << to;
      ++found;
    }
  }
  EXPECT_GT(found, 0) << from;
}

TEST_F(GuestfsWorkerTest, ReadsWhatTheWorkerDoesNot) {
  const fs::path image = dir_.path() / "disk.qcow2";
  ASSERT_THAT(RunCommand({"qemu-img", "convert", "-O", "qcow2",
                          shared_->path() / "disk.raw", image}),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const Leaves leaves, Inspect(image, "qcow2"));
  ExpectNothingLeft();
  Leaves named;
  size_t random = 0;
  for (const auto& [path, value] : leaves) {
    if (IsRandom(path)) {
      ++random;
      EXPECT_THAT(value, ::testing::MatchesRegex("text [0-9A-Za-z-]{36,38}"));
    } else if (!IsOfTheTable(path)) {
      named.emplace(path, value);
    }
  }
  EXPECT_THAT(named, ::testing::ContainerEq(WantedLeaves()));
  // Three file systems, two logical volumes, three physical ones and groups.
  EXPECT_EQ(random, 4U + 2U + 6U);

  // The same disk, raw: a package of the XFS has another version, the btrfs is
  // damaged where the kernel is, the XFS on LVM in its superblock.
  const fs::path other = dir_.path() / "disk.raw";
  ASSERT_THAT(RunCommand({"cp", "--sparse=always", shared_->path() / "disk.raw",
                          other}),
              IsOk());
  Replace(other, "Version: 1.1-xfs", "Version: 6.6-xfs");
  Replace(other, "kernel of 1.1-btrfs", "kernel of 6.6-btrfs");
  DamageXfsOnLvm(other);
  ASSERT_OK_AND_ASSIGN(const Leaves after, Inspect(other));
  ExpectNothingLeft();
  std::map<std::string, std::string> changed;
  for (const auto& [path, value] : after) {
    const auto before = leaves.find(path);
    if (before == leaves.end() || before->second != value) {
      changed.emplace(path, value);
    }
  }
  const std::string xfs = "partition[1]/package[bash:amd64]";
  // Small files are in its metadata.
  const std::string subvolume = "partition[2]/subvolume[@rootfs]";
  const std::string damaged = "partition[3]/lv[vg/data-1]";
  EXPECT_THAT(changed[xfs], HasSubstr("text 6.6-xfs "));
  EXPECT_THAT(changed[subvolume], HasSubstr("unavailable libguestfs: mount"));
  EXPECT_THAT(changed[damaged], HasSubstr("unavailable libguestfs: mount"));
  changed.erase(xfs);
  changed.erase(subvolume);
  changed.erase(damaged);
  changed.erase(damaged + "/journal");
  changed.erase(damaged + "/filesystem/uuid");
  EXPECT_THAT(changed, IsEmpty());
}

// Through QEMU's own view of it, which each worker connects to.
TEST_F(GuestfsWorkerTest, ReadsTheDiskOfARunningVm) {
  VMATTEST_REQUIRE_LIBVIRT_HOST();
  ASSERT_OK_AND_ASSIGN(const auto host, testing::LibvirtHost::Up("guestfs"));
  hypervisor::LibvirtDiskExporter exporter(
      {.uri = host->uri(),
       .socket_dir = host->folder() / "views",
       .scratch_dir = host->folder() / "scratch",
       .keep_free_bytes = 1 << 20});
  exporter_ = &exporter;
  const std::string path = host->folder() / "disk";
  fs::copy_file(shared_->path() / "squash.img", path);
  // QEMU's disks have whole blocks.
  fs::resize_file(path, kMiB);
  running_vm_ = "4f1b1c9e-6f2b-4a53-9a0e-3c6f5a1d7e21";
  ASSERT_OK_AND_ASSIGN(
      const auto xml,
      host->MakeDomain("web", {"uuid=" + running_vm_, "kernel=none", "mem=64",
                               "disk=" + path + ":raw"}));
  ASSERT_THAT(host->Virsh({"create", xml}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Leaves leaves, Inspect(path));
  EXPECT_EQ(leaves.at("partition[0]/os"), "text debian 12");
  ExpectNothingLeft();
}

// The same file on every machine with a kernel in /boot: no appliance is there
// before. Where there is none, supermin's variables name one.
TEST_F(GuestfsWorkerTest, ApplianceIsMadeByItselfWhereNoneIsNamed) {
  const std::string kernel = shared_->path() / "vmlinuz";
  ASSERT_EQ(setenv("SUPERMIN_KERNEL", kernel.c_str(), 1), 0);
  ASSERT_EQ(setenv("SUPERMIN_KERNEL_VERSION", KernelVersion().c_str(), 1), 0);
  const std::string modules = shared_->path() / "modules";
  ASSERT_EQ(setenv("SUPERMIN_MODULES", modules.c_str(), 1), 0);
  guestfs_.launcher->appliance.clear();
  const auto leaves = Inspect(shared_->path() / "squash.img");
  for (const char* const name :
       {"SUPERMIN_KERNEL", "SUPERMIN_KERNEL_VERSION", "SUPERMIN_MODULES"}) {
    unsetenv(name);
  }
  ASSERT_THAT(leaves, IsOk());
  Leaves wanted = {{"table", "text none"},
                   {"partition[0]/filesystem", "text squashfs"}};
  AddRoot("partition[0]", "1.1-squash", wanted);
  EXPECT_EQ(*leaves, wanted);
  ExpectNothingLeft();
}

TEST_F(GuestfsWorkerTest, AnApplianceThatCannotStartIsALeafWithTheReason) {
  guestfs_.launcher->appliance = dir_.path() / "none";
  fs::create_directory(dir_.path() / "none");
  ASSERT_OK_AND_ASSIGN(const Leaves leaves,
                       Inspect(shared_->path() / "squash.img"));
  EXPECT_THAT(leaves.at("partition[0]"),
              HasSubstr("unavailable squashfs: libguestfs: "));
  ExpectNothingLeft();
}

TEST_F(GuestfsWorkerTest, WithoutLibguestfsTheLeafSaysSo) {
  use_guestfs_ = false;
  ASSERT_OK_AND_ASSIGN(const Leaves leaves,
                       Inspect(shared_->path() / "squash.img"));
  EXPECT_EQ(leaves.at("partition[0]"),
            "unavailable squashfs: needs libguestfs, which is not installed");
}

// QEMU is there when the time is over: it is looked for until it is.
TEST_F(GuestfsWorkerTest, AnEndBeforeItsTimeLeavesNoProcessAndNoFile) {
  const std::string scratch = dir_.path() / "scratch";
  const auto has_qemu = [&scratch] {
    for (const std::string& program : ProcessesIn(scratch)) {
      if (program.find("qemu-system") != std::string::npos) {
        return true;
      }
    }
    return false;
  };
  bool seen = false;
  cancelled_ = [&] {
    seen = seen || has_qemu();
    return seen;
  };
  EXPECT_THAT(Inspect(shared_->path() / "squash.img"),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(seen);
  ExpectNothingLeft();
}

TEST_F(GuestfsWorkerTest, StartingThatTakesTooLongIsALeaf) {
  options_.guestfs.limit = std::chrono::milliseconds(1500);
  ASSERT_OK_AND_ASSIGN(const Leaves leaves,
                       Inspect(shared_->path() / "squash.img"));
  EXPECT_EQ(leaves.at("partition[0]"),
            "unavailable squashfs: libguestfs: its appliance did not start in "
            "time");
  ExpectNothingLeft();
}

}  // namespace
}  // namespace vmattest::inspection
