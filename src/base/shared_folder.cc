#include "base/shared_folder.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "fmt/format.h"

namespace vmattest {
namespace {

// acl(5) in the form that setxattr(2) takes, entries in the order it demands.
std::vector<uint8_t> AccessList(std::vector<uid_t> users) {
  std::sort(users.begin(), users.end());
  users.erase(std::unique(users.begin(), users.end()), users.end());
  std::vector<uint8_t> list;
  const auto put = [&list](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      list.push_back(static_cast<uint8_t>(value >> (8 * i)));
    }
  };
  const auto entry = [&put](uint16_t tag, uint16_t rights, uint32_t id) {
    put(tag, sizeof(uint16_t));
    put(rights, sizeof(uint16_t));
    put(id, sizeof(uint32_t));
  };
  constexpr uint16_t kAll = ACL_READ | ACL_WRITE | ACL_EXECUTE;
  const auto nobody = static_cast<uint32_t>(ACL_UNDEFINED_ID);
  put(POSIX_ACL_XATTR_VERSION, sizeof(uint32_t));
  entry(ACL_USER_OBJ, kAll, nobody);
  for (const uid_t user : users) {
    entry(ACL_USER, kAll, user);
  }
  entry(ACL_GROUP_OBJ, 0, nobody);
  entry(ACL_MASK, kAll, nobody);
  entry(ACL_OTHER, 0, nobody);
  return list;
}

}  // namespace

absl::StatusOr<std::filesystem::path> MakeSharedFolder(
    const std::filesystem::path& parent, uid_t other) {
  std::string path = parent / "XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return ErrnoStatus(errno, path);
  }
  const std::vector<uint8_t> list = AccessList({geteuid(), other});
  // Those of the folder, and those that what is made in it begins with.
  for (const char* const name :
       {"system.posix_acl_access", "system.posix_acl_default"}) {
    if (setxattr(path.c_str(), name, list.data(), list.size(), 0) != 0) {
      const int error = errno;
      rmdir(path.c_str());
      return ErrnoStatus(error, fmt::format("{}: access control list", path));
    }
  }
  return std::filesystem::path(path);
}

}  // namespace vmattest
