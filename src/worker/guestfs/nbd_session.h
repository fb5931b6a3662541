#ifndef VMATTEST_WORKER_GUESTFS_NBD_SESSION_H_
#define VMATTEST_WORKER_GUESTFS_NBD_SESSION_H_

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "disk/block_source.h"

namespace vmattest::worker {

struct NbdExport {
  std::string name;
  disk::BlockSource* content = nullptr;
};

// The server's side of one NBD connection (github.com/NetworkBlockDevice/nbd,
// doc/proto.md: fixed newstyle, simple replies), without its socket. Read only.
// The client is QEMU, which a guest's file system may have taken over: what it
// sends is bounded and checked. One thread.
class NbdSession {
 public:
  // `exports` outlives it.
  explicit NbdSession(const std::vector<NbdExport>& exports)
      : exports_(exports) {}

  // What the server says first.
  static Bytes Greeting();

  // Takes one message from the front of `in`, if all of it is there, and
  // appends the answer to `out`; how many bytes it took, 0 for "not yet". Never
  // needs more than kMaxMessage bytes at once. OUT_OF_RANGE: an orderly end.
  // DATA_LOSS: no NBD; end the connection.
  absl::StatusOr<size_t> Take(ByteView in, Bytes& out);
  static constexpr size_t kMaxMessage = 8192;

  // The first error of an export's content.
  [[nodiscard]] const absl::Status& failure() const { return failure_; }

 private:
  absl::StatusOr<size_t> TakeFlags(ByteView in);
  absl::StatusOr<size_t> TakeOption(ByteView in, Bytes& out);
  absl::StatusOr<size_t> TakeRequest(ByteView in, Bytes& out);
  absl::Status Choose(uint32_t option, ByteView data, Bytes& out);
  void Read(uint64_t cookie, uint64_t offset, uint32_t size, Bytes& out);
  [[nodiscard]] const NbdExport* Find(std::string_view name) const;

  enum class Phase : uint8_t { kFlags, kOptions, kTransmission };
  const std::vector<NbdExport>& exports_;
  Phase phase_ = Phase::kFlags;
  bool no_zeroes_ = false;
  disk::BlockSource* chosen_ = nullptr;
  absl::Status failure_;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_NBD_SESSION_H_
