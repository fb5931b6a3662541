#include "sqlite/local_file_system.h"

#include <sys/vfs.h>

#include <cerrno>

#include "fmt/format.h"

namespace vmattest::sqlite {

const char* RefusedFileSystem(uint64_t type) {
  // linux/magic.h and the file systems' own sources; f_type is a signed word,
  // so only its lower 32 bits count.
  switch (type & 0xffffffff) {
    case 0x6969:
      return "NFS";
    case 0x517B:
    case 0xFE534D42:
    case 0xFF534D42:
      return "SMB";
    case 0x01021997:
      return "9p";
    case 0x65735546:
      return "FUSE";
    case 0x00C36400:
      return "Ceph";
    case 0x5346414F:
    case 0x6B414653:
      return "AFS";
    case 0x7461636F:
      return "OCFS2";
    case 0x01161970:
      return "GFS2";
    case 0x0BD00BD0:
      return "Lustre";
    default:
      return nullptr;
  }
}

absl::Status RequireLocalFileSystem(const std::filesystem::path& path) {
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  struct statfs found = {};
  if (statfs(folder.c_str(), &found) != 0) {
    return ErrnoStatus(errno, folder.string());
  }
  const char* const refused =
      RefusedFileSystem(static_cast<uint64_t>(found.f_type));
  if (refused != nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{} is on {}: SQLite needs a local file system",
                    folder.string(), refused));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::sqlite
