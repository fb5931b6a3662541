#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "guestchannel/protocol/frames.h"
#include "guestchannel/protocol/messages.h"

// A hostile guest at the host's end of the port, and a hostile host at the
// guest's: bytes in pieces, frames out of them, messages out of those. What
// parses comes back from its own bytes, and memory stays bounded.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest::guestchannel;
  using vmattest::ByteView;
  if (size == 0) {
    return 0;
  }
  const size_t piece = 1 + data[0] * size_t{17};
  FrameReader reader;
  const auto look = [&reader] {
    while (const auto payload = reader.Next()) {
      if (payload->empty() || payload->size() > kMaxFrame) {
        std::abort();
      }
      if (const auto request = ParseRequest(*payload); request.ok()) {
        const auto again = ParseRequest(Encode(*request));
        if (!again.ok() || again->id != request->id ||
            again->body.index() != request->body.index()) {
          std::abort();
        }
      }
      if (const auto answer = ParseAnswer(*payload); answer.ok()) {
        const auto again = ParseAnswer(Encode(*answer));
        if (!again.ok() || again->body.index() != answer->body.index()) {
          std::abort();
        }
      }
    }
    if (reader.room() == 0) {
      std::abort();
    }
  };
  for (ByteView rest(data + 1, size - 1); !rest.empty();) {
    const size_t now = std::min({piece, rest.size(), reader.room()});
    reader.Feed(rest.first(now));
    rest = rest.subspan(now);
    look();
  }
  while (reader.waiting()) {
    reader.GiveUp();
    look();
  }
  return 0;
}
