#include "process/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "fmt/format.h"

namespace vmattest::process {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMinKeyAuth = 16;
constexpr size_t kMaxSecret = 4096;
constexpr size_t kMaxSecretFile = 16u << 10;
constexpr size_t kRandomKeyAuth = 32;

constexpr mode_t kFolderIsOurs = 0077;
// Group-readable is how one hands a secret to a service, and how the ACL of a
// systemd credential looks.
constexpr mode_t kSecretIsKept = 0037;

absl::Status CheckPrivate(const fs::path& path, mode_t forbidden) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: belongs to user {}", path.string(), info.st_uid));
  }
  if ((info.st_mode & forbidden) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: mode {:04o} lets others in; chmod go= {}",
                    path.string(), info.st_mode & 07777, path.string()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ReadSecret(const fs::path& path, size_t most) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, most));
  RETURN_IF_ERROR(CheckPrivate(path, kSecretIsKept));
  return bytes;
}

absl::Status MakeKeyAuth(const fs::path& path) {
  Bytes bytes(kRandomKeyAuth);
  if (getrandom(bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size())) {
    return absl::InternalError("no random numbers");
  }
  const SecretBytes secret(std::move(bytes));
  return WriteFileAtomic(path, secret.Reveal(SecretAccess()), 0600);
}

}  // namespace

absl::StatusOr<StateDir> StateDir::Open(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    return ErrnoStatus(error.value(), path.string());
  }
  RETURN_IF_ERROR(CheckPrivate(path, kFolderIsOurs));
  const fs::path lock_path = path / "lock";
  UniqueFd lock(
      open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) {
    return ErrnoStatus(errno, lock_path.string());
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: another daemon uses it", path.string()));
  }
  return StateDir(std::move(lock));
}

absl::StatusOr<SecretBytes> LoadKeyAuth(const fs::path& path, bool create) {
  absl::StatusOr<Bytes> bytes = ReadSecret(path, kMaxSecret);
  if (absl::IsNotFound(bytes.status()) && create) {
    RETURN_IF_ERROR(MakeKeyAuth(path));
    bytes = ReadSecret(path, kMaxSecret);
  }
  RETURN_IF_ERROR(bytes.status());
  SecretBytes secret(*std::move(bytes));
  if (secret.size() < kMinKeyAuth) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {} bytes are no secret; at least {}", path.string(),
                    secret.size(), kMinKeyAuth));
  }
  return secret;
}

absl::StatusOr<SecretBytes> LoadSecretFile(const fs::path& path) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadSecret(path, kMaxSecretFile));
  return SecretBytes(std::move(bytes));
}

absl::StatusOr<SecretBytes> LoadAuthValue(const fs::path& path) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadSecret(path, kMaxSecret));
  if (!bytes.empty() && bytes.back() == '\n') {
    bytes.pop_back();
  }
  return SecretBytes(std::move(bytes));
}

}  // namespace vmattest::process
