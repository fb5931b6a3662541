#include "document/key_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/handles.h"
#include "document/flat_json.h"

namespace vmattest::document {
namespace {

constexpr size_t kMaxKeys = 1000;
constexpr mode_t kPrivateMode = 0600;

absl::Status CheckPrivate(int fd, const std::filesystem::path& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not a regular file", path.string()));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0 ||
      (status.st_uid != geteuid() && status.st_uid != 0)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: a private key must be its owner's alone (chmod 0600)",
                    path.string()));
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> ReadAll(int fd, const std::filesystem::path& path) {
  Bytes content(kMaxKeyFileSize + 1);
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = read(fd, content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoStatus(errno, path.string());
    }
    if (got == 0) {
      break;
    }
    size += static_cast<size_t>(got);
  }
  content.resize(size);
  return SecretBytes(std::move(content));
}

absl::Status WriteAll(int fd, ByteView content) {
  while (!content.empty()) {
    const ssize_t put = write(fd, content.data(), content.size());
    if (put < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "write");
    }
    content = content.subspan(put < 0 ? 0 : static_cast<size_t>(put));
  }
  return fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "fsync");
}

}  // namespace

absl::StatusOr<PrivateKey> LoadPrivateKey(const std::filesystem::path& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return ErrnoStatus(errno, path.string());
  }
  RETURN_IF_ERROR(CheckPrivate(fd.get(), path));
  ASSIGN_OR_RETURN(const SecretBytes file, ReadAll(fd.get(), path));
  ASSIGN_OR_RETURN_WITH(PrivateKey key, PrivateKey::Parse(file), path.string());
  return key;
}

absl::Status WritePrivateKey(const std::filesystem::path& path,
                             const PrivateKey& key) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                         kPrivateMode));
  if (!fd.valid()) {
    return errno == EEXIST
               ? absl::AlreadyExistsError(fmt::format(
                     "{} exists; a key is never overwritten", path.string()))
               : ErrnoStatus(errno, path.string());
  }
  const SecretBytes file = key.ToFile();
  const absl::Status written = WriteAll(fd.get(), file.Reveal(SecretAccess()));
  if (!written.ok()) {
    unlink(path.c_str());  // half a key is none
    return Annotate(written, path.string());
  }
  return absl::OkStatus();
}

absl::StatusOr<PublicKey> LoadPublicKey(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const Bytes json, ReadFile(path, kMaxKeyFileSize));
  ASSIGN_OR_RETURN_WITH(PublicKey key, ParsePublicKey(AsText(json)),
                        path.string());
  return key;
}

absl::StatusOr<std::vector<PublicKey>> LoadPublicKeys(
    const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator it(folder, error), end;
       !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".pub") {
      paths.push_back(it->path());
    }
    if (paths.size() > kMaxKeys) {
      return absl::InvalidArgumentError(
          fmt::format("{}: more than {} keys", folder.string(), kMaxKeys));
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<PublicKey> keys;
  for (const std::filesystem::path& path : paths) {
    ASSIGN_OR_RETURN(PublicKey key, LoadPublicKey(path));
    keys.push_back(std::move(key));
  }
  return keys;
}

absl::StatusOr<std::vector<PublicKey>> LoadKeysIfAny(
    const std::filesystem::path& folder) {
  std::error_code error;
  if (folder.empty() || (!std::filesystem::exists(folder, error) && !error)) {
    return std::vector<PublicKey>();
  }
  return LoadPublicKeys(folder);
}

}  // namespace vmattest::document
