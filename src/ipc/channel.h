#ifndef VMATTEST_IPC_CHANNEL_H_
#define VMATTEST_IPC_CHANNEL_H_

#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/handles.h"
#include "base/status.h"

namespace vmattest::ipc {

// One message: bytes, and descriptors that travel with them.
struct Message {
  Bytes bytes;
  std::vector<UniqueFd> descriptors;
};

inline constexpr size_t kMaxDescriptors = 8;
// A deadline that never comes.
inline constexpr MonotonicTime kNoDeadline = MonotonicTime::max();

// Framed messages (uint32 length, big-endian, then bytes) over one end of a
// Unix stream socket; descriptors come with the length. The peer may be
// hostile: sizes are limited, memory grows with what has arrived and not with
// what was announced, truncation and surplus descriptors are errors. One thread
// may send while another receives.
class Channel {
 public:
  // Takes `socket`. Messages longer than `max_size` are not sent, nor taken.
  Channel(UniqueFd socket, size_t max_size);
  // Two connected ends, both closed by exec.
  static absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MakePair();

  // UNAVAILABLE: the peer is gone. INVALID_ARGUMENT: too large; nothing was
  // sent. DEADLINE_EXCEEDED: by `deadline`, on CLOCK_MONOTONIC; the channel
  // cannot be used any more then.
  absl::Status Send(const Message& message, MonotonicTime deadline);
  // DATA_LOSS: malformed. Else as Send.
  absl::StatusOr<Message> Receive(MonotonicTime deadline);
  // Until a message begins or the peer is gone, which Receive() tells then.
  // DEADLINE_EXCEEDED: neither happened, and the channel is as good as before.
  absl::Status AwaitMessage(MonotonicTime deadline);
  // Ends what another thread waits for. Idempotent, any thread.
  void Close();

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  absl::Status Await(short events, MonotonicTime deadline);
  absl::Status Fill(std::span<uint8_t> buffer, MonotonicTime deadline,
                    std::vector<UniqueFd>* descriptors);

  const UniqueFd socket_;
  const size_t max_size_;
};

// Another descriptor of the same open file, for a Message. `name` is for the
// error's message.
absl::StatusOr<UniqueFd> Duplicate(int fd, std::string_view name);

}  // namespace vmattest::ipc

#endif  // VMATTEST_IPC_CHANNEL_H_
