#include "base/shared_folder.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/handles.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest {
namespace {

constexpr uid_t kOurs = 61001;
constexpr uid_t kTheirs = 61002;
constexpr uid_t kNobodys = 61003;

// Whether `act` is true in a process of that user without any capability.
bool As(uid_t user, const std::function<bool()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    umask(0002);
    const bool done = setresgid(user, user, user) == 0 &&
                      setresuid(user, user, user) == 0 && act();
    _exit(done ? 0 : 1);
  }
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

sockaddr_un Address(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

TEST(SharedFolder, OneUserServesTheOtherConnectsAndNobodyElse) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root to be three users";
  }
  testing::TempDir dir;
  const std::filesystem::path parent = dir.path() / "parent";
  std::filesystem::create_directory(parent);
  ASSERT_EQ(chown(parent.c_str(), kOurs, kOurs), 0);
  ASSERT_EQ(chmod(parent.c_str(), 0711), 0);
  ASSERT_EQ(chmod(dir.path().c_str(), 0711), 0);
  ASSERT_TRUE(
      As(kOurs, [&parent] { return MakeSharedFolder(parent, kTheirs).ok(); }));
  const std::filesystem::path folder =
      std::filesystem::directory_iterator(parent)->path();
  const sockaddr_un address = Address(folder / "socket");
  const auto* const name = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd server(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_TRUE(As(kTheirs, [&server, name] {
    return bind(server.get(), name, sizeof(sockaddr_un)) == 0 &&
           listen(server.get(), 1) == 0;
  }));
  const auto connects = [name] {
    const UniqueFd client(socket(AF_UNIX, SOCK_STREAM, 0));
    return connect(client.get(), name, sizeof(sockaddr_un)) == 0;
  };
  EXPECT_FALSE(As(kNobodys, connects));
  EXPECT_TRUE(As(kOurs, connects));
  EXPECT_TRUE(As(
      kOurs, [&folder] { return unlink((folder / "socket").c_str()) == 0; }));
}

TEST(SharedFolder, MissingParentIsNotFound) {
  EXPECT_THAT(MakeSharedFolder("/nonexistent", 0),
              testing::StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest
