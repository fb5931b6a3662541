#include "worker/guestfs/guestfs_appliance.h"

#include <guestfs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/handles.h"
#include "disk/file_block_source.h"
#include "disk/nbd_block_source.h"
#include "fmt/format.h"

namespace vmattest::worker {
namespace {

constexpr int kMemoryMib = 768;
constexpr size_t kMaxMessage = 400;
constexpr size_t kListPiece = 1000;
// Of devices, and of LVM's names (lvm(8), "Valid names").
constexpr char kDeviceCharacters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+_.-";

// There is a function of that name, too.
using FileStatus = struct guestfs_statns;
using Handle = std::unique_ptr<guestfs_h, Closer<guestfs_close>>;
using Text = std::unique_ptr<char, Closer<free>>;
using StatusList =
    std::unique_ptr<guestfs_statns_list, Closer<guestfs_free_statns_list>>;
using EntryList =
    std::unique_ptr<guestfs_dirent_list, Closer<guestfs_free_dirent_list>>;
using SubvolumeList = std::unique_ptr<guestfs_btrfssubvolume_list,
                                      Closer<guestfs_free_btrfssubvolume_list>>;

// libguestfs's arrays of strings end with NULL, and are the caller's.
struct FreeTexts {
  void operator()(char** texts) const {
    for (char** text = texts; *text != nullptr; ++text) {
      free(*text);
    }
    free(texts);
  }
};
using Texts = std::unique_ptr<char*, FreeTexts>;

std::vector<std::string> ToVector(const Texts& texts) {
  std::vector<std::string> out;
  for (char** text = texts.get(); *text != nullptr; ++text) {
    out.emplace_back(*text);
  }
  return out;
}

// libguestfs counts disks as they were added, its kernel as it finds them; by a
// label (letters only) both mean the same one.
std::string Label(size_t number) {
  return std::string("content") + static_cast<char>('a' + number % 26) +
         static_cast<char>('a' + number / 26 % 26);
}

disk::FileEntry::Kind KindOf(int64_t mode) {
  const auto bits = static_cast<mode_t>(mode);
  return S_ISREG(bits)   ? disk::FileEntry::Kind::kFile
         : S_ISDIR(bits) ? disk::FileEntry::Kind::kFolder
         : S_ISLNK(bits) ? disk::FileEntry::Kind::kLink
                         : disk::FileEntry::Kind::kOther;
}

disk::Appliance::File ToFile(std::string path, const FileStatus& status) {
  const disk::FileEntry::Kind kind = KindOf(status.st_mode);
  const bool has_size =
      kind == disk::FileEntry::Kind::kFile && status.st_size > 0;
  return {.path = std::move(path),
          .kind = kind,
          .size = has_size ? static_cast<uint64_t>(status.st_size) : 0};
}

void ReplaceAll(std::string& text, std::string_view from, size_t more,
                std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
       at += to.size()) {
    text.replace(at, from.size() + more, to);
  }
}

// One line, without what is not the same each time: the temporary folder's
// name, and the letter that the kernel gave a disk.
std::string Sentence(const char* text) {
  std::string line = text == nullptr ? "no reason given" : text;
  line = line.substr(0, std::min(line.find('\n'), kMaxMessage));
  if (const char* folder = getenv("TMPDIR");
      folder != nullptr && *folder != '\0') {
    ReplaceAll(line, folder, 0, "TMPDIR");
  }
  ReplaceAll(line, "/dev/sd", 1, "the disk");
  return line;
}

absl::StatusOr<std::unique_ptr<disk::BlockSource>> OpenImage(
    const internal::ApplianceRequest::Start& start, UniqueFd image) {
  if (!start.nbd()) {
    return std::make_unique<disk::FileBlockSource>(std::move(image),
                                                   start.size());
  }
  return disk::NbdBlockSource::Connect(std::move(image), start.nbd_export());
}

}  // namespace

// In the order in which they need each other.
struct GuestfsAppliance::Parts {
  std::unique_ptr<disk::BlockSource> image;
  std::vector<std::unique_ptr<disk::SliceSource>> slices;
  std::unique_ptr<NbdServer> server;
  std::vector<std::string> devices;  // of the contents
  Handle handle;
};

GuestfsAppliance::GuestfsAppliance(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}

GuestfsAppliance::~GuestfsAppliance() = default;

absl::StatusOr<StartedAppliance> GuestfsAppliance::Start(
    const internal::ApplianceRequest::Start& start, UniqueFd image) {
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(parts->image, OpenImage(start, std::move(image)));
  std::vector<NbdExport> exports;
  for (const internal::UnreadContent& content : start.contents()) {
    RETURN_IF_ERROR(
        disk::CheckRange(*parts->image, content.begin(), content.size()));
    parts->slices.push_back(std::make_unique<disk::SliceSource>(
        *parts->image, content.begin(), content.size()));
    exports.push_back(
        {std::to_string(exports.size()), parts->slices.back().get()});
  }
  const char* folder = getenv("TMPDIR");
  if (folder == nullptr) {
    return absl::FailedPreconditionError("there is no temporary folder");
  }
  const std::string socket = fmt::format("{}/nbd", folder);
  const size_t contents = exports.size();
  ASSIGN_OR_RETURN(parts->server,
                   NbdServer::Listen(socket, std::move(exports)));
  parts->handle.reset(guestfs_create_flags(GUESTFS_CREATE_NO_CLOSE_ON_EXIT));
  if (!parts->handle) {
    return absl::ResourceExhaustedError("libguestfs has no memory");
  }
  StartedAppliance started;
  std::unique_ptr<GuestfsAppliance> made(
      new GuestfsAppliance(std::move(parts)));
  ASSIGN_OR_RETURN(started.devices,
                   made->Launch(contents, socket, start.force_tcg()));
  started.appliance = std::move(made);
  return started;
}

absl::StatusOr<std::vector<std::string>> GuestfsAppliance::Launch(
    size_t contents, const std::string& socket, bool force_tcg) {
  guestfs_h* g = parts_->handle.get();
  guestfs_set_error_handler(g, nullptr, nullptr);
  std::string server = "unix:" + socket;
  char* servers[] = {server.data(), nullptr};
  bool good =
      guestfs_set_backend(g, "direct") == 0 &&
      guestfs_set_memsize(g, kMemoryMib) == 0 &&
      guestfs_set_autosync(g, 0) == 0 &&
      (!force_tcg || guestfs_set_backend_setting(g, "force_tcg", "1") == 0);
  for (size_t i = 0; good && i < contents; ++i) {
    good = guestfs_add_drive_opts(
               g, std::to_string(i).c_str(), GUESTFS_ADD_DRIVE_OPTS_READONLY, 1,
               GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw",
               GUESTFS_ADD_DRIVE_OPTS_PROTOCOL, "nbd",
               GUESTFS_ADD_DRIVE_OPTS_SERVER, servers,
               GUESTFS_ADD_DRIVE_OPTS_LABEL, Label(i).c_str(), -1) == 0;
  }
  if (!good || guestfs_launch(g) != 0) {
    return absl::DataLossError(Sentence(guestfs_last_error(g)));
  }
  const Texts devices(guestfs_list_devices(g));
  if (!devices) {
    return Failure();
  }
  std::vector<std::string> names = ToVector(devices);
  if (names.size() != contents) {
    return absl::DataLossError(
        fmt::format("{} disks instead of {}", names.size(), contents));
  }
  parts_->devices = names;
  return names;
}

absl::Status GuestfsAppliance::disk_failure() const {
  return parts_->server->failure();
}

absl::Status GuestfsAppliance::Failure() const {
  guestfs_h* g = parts_->handle.get();
  if (guestfs_is_ready(g) != 1) {
    return absl::UnavailableError("its appliance ended while it was read");
  }
  const int error = guestfs_last_errno(g);
  if (error == ENOENT || error == ENOTDIR) {
    return absl::NotFoundError("there is no such file");
  }
  return absl::DataLossError(Sentence(guestfs_last_error(g)));
}

absl::Status GuestfsAppliance::ReadDevice(const std::string& device,
                                          uint64_t offset,
                                          std::span<uint8_t> buffer) {
  while (!buffer.empty()) {
    size_t got = 0;
    const Text piece(guestfs_pread_device(parts_->handle.get(), device.c_str(),
                                          static_cast<int>(buffer.size()),
                                          static_cast<int64_t>(offset), &got));
    if (!piece) {
      return Failure();
    }
    if (got == 0 || got > buffer.size()) {
      return absl::DataLossError("a device that is shorter than it says");
    }
    std::copy_n(piece.get(), got, buffer.begin());
    offset += got;
    buffer = buffer.subspan(got);
  }
  return absl::OkStatus();
}

absl::Status GuestfsAppliance::ReadFile(const std::string& path,
                                        uint64_t offset,
                                        std::span<uint8_t> buffer) {
  while (!buffer.empty()) {
    size_t got = 0;
    const Text piece(guestfs_pread(parts_->handle.get(), path.c_str(),
                                   static_cast<int>(buffer.size()),
                                   static_cast<int64_t>(offset), &got));
    if (!piece) {
      return Failure();
    }
    if (got == 0 || got > buffer.size()) {
      return absl::DataLossError("a file that is shorter than it says");
    }
    std::copy_n(piece.get(), got, buffer.begin());
    offset += got;
    buffer = buffer.subspan(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<disk::Appliance::Lvm> GuestfsAppliance::ReadLvm() {
  guestfs_h* g = parts_->handle.get();
  Lvm lvm;
  const Texts groups(guestfs_vgs(g));
  if (!groups) {
    return Failure();
  }
  // Not those of guestfs_pvs(): it has the kernel's names, see Label().
  for (const std::string& device : parts_->devices) {
    const Text uuid(guestfs_pvuuid(g, device.c_str()));
    if (uuid) {  // else no physical volume
      lvm.physical.push_back({device, uuid.get()});
    }
  }
  for (const std::string& name : ToVector(groups)) {
    const Text uuid(guestfs_vguuid(g, name.c_str()));
    const Texts physical(uuid ? guestfs_vgpvuuids(g, name.c_str()) : nullptr);
    if (!physical) {
      return Failure();
    }
    lvm.groups.push_back({name, uuid.get(), ToVector(physical)});
  }
  RETURN_IF_ERROR(AddLogicalVolumes(lvm));
  return lvm;
}

absl::Status GuestfsAppliance::AddLogicalVolumes(Lvm& lvm) {
  guestfs_h* g = parts_->handle.get();
  const Texts paths(guestfs_lvs(g));
  if (!paths) {
    return Failure();
  }
  for (const std::string& path : ToVector(paths)) {
    // "/dev/GROUP/NAME"
    const size_t slash = path.rfind('/');
    const size_t before = path.rfind('/', slash - 1);
    if (slash == std::string::npos || slash == 0 ||
        before == std::string::npos) {
      return absl::DataLossError("a logical volume with a strange path");
    }
    const Text uuid(guestfs_lvuuid(g, path.c_str()));
    const int64_t size = guestfs_blockdev_getsize64(g, path.c_str());
    if (!uuid) {
      return Failure();
    }
    lvm.logical.push_back({path.substr(before + 1, slash - before - 1),
                           path.substr(slash + 1), uuid.get(), path,
                           static_cast<uint64_t>(std::max<int64_t>(size, 0))});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> GuestfsAppliance::XfsLog(
    const std::string& device) {
  if (device.find_first_not_of(kDeviceCharacters) != std::string::npos) {
    return absl::InvalidArgumentError("a device with a strange name");
  }
  // There is no call for it but the one that runs commands, to which the
  // devices' names mean what they mean to the kernel.
  const std::vector<std::string>& devices = parts_->devices;
  const auto own = std::find(devices.begin(), devices.end(), device);
  const std::string name =
      own == devices.end()
          ? device
          : "/dev/disk/guestfs/" +
                Label(static_cast<size_t>(own - devices.begin()));
  std::string command =
      fmt::format("xfs_logprint -t -- {} 2>&1 | head -c 4096", name);
  char* words[] = {command.data(), nullptr};
  const Text output(guestfs_debug(parts_->handle.get(), "sh", words));
  if (!output) {
    return Failure();
  }
  return std::string(output.get());
}

absl::Status GuestfsAppliance::Mount(const std::string& device,
                                     const std::string& options) {
  return guestfs_mount_options(parts_->handle.get(), options.c_str(),
                               device.c_str(), "/") == 0
             ? absl::OkStatus()
             : Failure();
}

absl::Status GuestfsAppliance::Unmount() {
  return guestfs_umount_all(parts_->handle.get()) == 0 ? absl::OkStatus()
                                                       : Failure();
}

absl::StatusOr<std::vector<disk::Appliance::Subvolume>>
GuestfsAppliance::Subvolumes() {
  const SubvolumeList list(
      guestfs_btrfs_subvolume_list(parts_->handle.get(), "/"));
  if (!list) {
    return Failure();
  }
  std::vector<Subvolume> subvolumes;
  for (uint32_t i = 0; i < list->len; ++i) {
    subvolumes.push_back(
        {list->val[i].btrfssubvolume_id, list->val[i].btrfssubvolume_path});
  }
  return subvolumes;
}

absl::StatusOr<uint64_t> GuestfsAppliance::DefaultSubvolume() {
  const int64_t id =
      guestfs_btrfs_subvolume_get_default(parts_->handle.get(), "/");
  if (id < 0) {
    return Failure();
  }
  return static_cast<uint64_t>(id);
}

absl::StatusOr<disk::Appliance::File> GuestfsAppliance::Find(
    const std::string& path) {
  guestfs_h* g = parts_->handle.get();
  const Text real(guestfs_realpath(g, path.c_str()));
  if (!real) {
    return Failure();
  }
  const std::unique_ptr<FileStatus, Closer<guestfs_free_statns>> status(
      guestfs_lstatns(g, real.get()));
  if (!status) {
    return Failure();
  }
  return ToFile(real.get(), *status);
}

absl::StatusOr<std::vector<disk::Appliance::File>> GuestfsAppliance::List(
    const std::string& folder) {
  guestfs_h* g = parts_->handle.get();
  const EntryList entries(guestfs_readdir(g, folder.c_str()));
  if (!entries) {
    return Failure();
  }
  if (entries->len > disk::kMaxFolderEntries) {
    return absl::ResourceExhaustedError(fmt::format(
        "a folder of more than {} entries", disk::kMaxFolderEntries));
  }
  std::vector<char*> names;
  for (uint32_t i = 0; i < entries->len; ++i) {
    char* name = entries->val[i].name;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
      names.push_back(name);
    }
  }
  std::vector<File> files;
  for (size_t done = 0; done < names.size(); done += kListPiece) {
    const size_t end = std::min(names.size(), done + kListPiece);
    std::vector<char*> piece(names.begin() + static_cast<ptrdiff_t>(done),
                             names.begin() + static_cast<ptrdiff_t>(end));
    piece.push_back(nullptr);
    const StatusList statuses(
        guestfs_lstatnslist(g, folder.c_str(), piece.data()));
    if (!statuses) {
      return Failure();
    }
    if (statuses->len != end - done) {
      return absl::DataLossError("a folder that is not as it says");
    }
    for (uint32_t i = 0; i < statuses->len; ++i) {
      files.push_back(ToFile(piece[i], statuses->val[i]));
    }
  }
  return files;
}

}  // namespace vmattest::worker
