#include "rpc/pumped_stream.h"

#include <string>

#include "fmt/format.h"

namespace vmattest::rpc {

absl::Status WatcherTooSlow(std::string_view what, uint64_t last) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "too slow: {} are waiting; resume after sequence {}", what, last)),
      {"WATCHER_TOO_SLOW", {{"last_sequence", std::to_string(last)}}});
}

absl::Status EventsNotKept(uint64_t after, uint64_t next) {
  return WithReason(
      absl::OutOfRangeError(
          fmt::format("after_sequence: what follows {} is not kept; next is {}",
                      after, next)),
      {"EVENTS_NOT_KEPT", {{"next_sequence", std::to_string(next)}}});
}

}  // namespace vmattest::rpc
