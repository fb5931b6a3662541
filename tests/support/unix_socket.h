#ifndef VMATTEST_TESTS_SUPPORT_UNIX_SOCKET_H_
#define VMATTEST_TESTS_SUPPORT_UNIX_SOCKET_H_

#include <filesystem>

#include "base/bytes.h"
#include "base/handles.h"

namespace vmattest::testing {

// A listening socket at `path`; throws if it cannot be had.
UniqueFd ListenUnix(const std::filesystem::path& path);
// Invalid if nobody listens.
UniqueFd ConnectUnix(const std::filesystem::path& path);

// False if the peer has gone.
bool WriteAll(int fd, ByteView bytes);
// One command or response of a TPM; empty if the peer has gone.
Bytes ReadTpmFrame(int fd);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_UNIX_SOCKET_H_
