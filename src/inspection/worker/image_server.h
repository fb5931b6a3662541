#ifndef VMATTEST_INSPECTION_WORKER_IMAGE_SERVER_H_
#define VMATTEST_INSPECTION_WORKER_IMAGE_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/handles.h"
#include "image/image_chain.h"
#include "ipc/child_process.h"

namespace vmattest::inspection {

struct ImageServerOptions {
  std::string program = "/usr/bin/qemu-storage-daemon";
  std::string user;  // whom it becomes; empty: it stays what we are
  // Where its socket is for a moment; made if missing, passable for `user`.
  std::string socket_dir = "/run/vmattest/images";
  uint64_t memory_bytes = uint64_t{2} << 30;  // address space
  std::chrono::seconds cpu_time{600};
  bool own_namespaces = true;
};

struct ImageServerCall {
  MonotonicTime deadline;
  std::function<bool()> cancelled;  // may be empty
};

// QEMU's own reader of image formats, in a process of its own, which shows a
// backing chain read-only over NBD. What the headers say about other files is
// not followed: it gets the layers that were resolved, by path, and by Landlock
// can read no other file. It has no right but to read those of other users, no
// network, and dies with the object.
//
// It takes none of QEMU's image locks, so that no guest fails to start because
// of us: whoever uses it looks for writers before and after (image_lock.h).
class ImageServer {
 public:
  // raw and qcow2 layers, local files, the top first. INVALID_ARGUMENT: QEMU
  // refuses an image; the message has its sentence. DEADLINE_EXCEEDED,
  // CANCELLED. UNAVAILABLE: it died. NOT_FOUND: no such program or user.
  static absl::StatusOr<std::unique_ptr<ImageServer>> Start(
      const std::vector<image::ImageLayer>& layers,
      const ImageServerOptions& options, const ImageServerCall& call);

  static constexpr char kExport[] = "disk";
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  // The connection to it: once.
  [[nodiscard]] UniqueFd TakeConnection() { return std::move(connection_); }

 private:
  ImageServer(ipc::ChildProcess process, UniqueFd monitor)
      : process_(std::move(process)), monitor_(std::move(monitor)) {}
  absl::Status Serve(const std::vector<image::ImageLayer>& layers,
                     const std::string& socket, const ImageServerCall& call);
  absl::Status Command(const std::string& name, const std::string& arguments,
                       const ImageServerCall& call);
  absl::StatusOr<std::string> ReadLine(const ImageServerCall& call);

  ipc::ChildProcess process_;
  UniqueFd monitor_;
  std::string unread_;
  UniqueFd connection_;
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_IMAGE_SERVER_H_
