#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ipc/channel.h"
#include "signing/remote/signer_codec.h"
#include "vmattest/internal/signer.pb.h"

// A hostile process at the other end of a channel: its bytes as frames, and
// what is in them as answers of a signer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::ipc::Channel;
  constexpr size_t kMost = 64U << 10;
  if (size > kMost) {
    return 0;
  }
  auto ends = Channel::MakePair();
  if (!ends.ok() ||
      send(ends->second.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT) !=
          static_cast<ssize_t>(size)) {
    return 0;
  }
  (void)shutdown(ends->second.get(), SHUT_WR);
  Channel channel(std::move(ends->first), kMost);
  while (true) {
    const auto message = channel.Receive(std::chrono::steady_clock::now() +
                                         std::chrono::seconds(1));
    if (!message.ok()) {
      return 0;
    }
    vmattest::internal::SignerReply reply;
    if (!vmattest::signing::FromIpcMessage(*message, reply).ok()) {
      continue;
    }
    (void)vmattest::signing::Parse(reply.state(),
                                   vmattest::signing::SignerState());
    (void)vmattest::signing::Parse(reply.signatures());
    (void)vmattest::signing::Parse(reply.keys());
    (void)vmattest::signing::Parse(reply.seal_status());
    (void)vmattest::signing::Parse(reply.log_head());
  }
}
