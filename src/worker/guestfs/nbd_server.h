#ifndef VMATTEST_WORKER_GUESTFS_NBD_SERVER_H_
#define VMATTEST_WORKER_GUESTFS_NBD_SERVER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/handles.h"
#include "base/mutex.h"
#include "base/status.h"
#include "worker/guestfs/nbd_session.h"

namespace vmattest::worker {

// Shows parts of a disk read-only on a Unix socket, to whoever may connect to
// it: libguestfs takes no descriptors, and its helpers could not open the image
// themselves. One thread, `nbd`, reads for all connections, of which there are
// at most kMaxConnections.
class NbdServer {
 public:
  // Listens at `path`. Contents are used by its thread only from then on, and
  // outlive it.
  static absl::StatusOr<std::unique_ptr<NbdServer>> Listen(
      const std::string& path, std::vector<NbdExport> exports);
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;
  ~NbdServer();

  // The first error of a content. Any thread.
  [[nodiscard]] absl::Status failure() const EXCLUDES_LOCK(mutex_);

  static constexpr size_t kMaxConnections = 64;

 private:
  struct Connection;
  NbdServer(std::vector<NbdExport> exports, UniqueFd listener, UniqueFd stop);
  void Run();
  void Accept();
  // False: it has ended.
  bool Serve(Connection& connection);

  const std::vector<NbdExport> exports_;
  const UniqueFd listener_;
  const UniqueFd stop_;
  std::vector<std::unique_ptr<Connection>> connections_;
  mutable Mutex mutex_;
  absl::Status failure_ GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_NBD_SERVER_H_
