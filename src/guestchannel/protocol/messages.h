#ifndef VMATTEST_GUESTCHANNEL_PROTOCOL_MESSAGES_H_
#define VMATTEST_GUESTCHANNEL_PROTOCOL_MESSAGES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/status.h"

// What goes in frames: vmattest.v1.GuestRequest and GuestAnswer, as values.
// Both sides believe nothing of the other's. Pure; any thread.

namespace vmattest::guestchannel {

inline constexpr std::string_view kPortName = "org.vmattest.agent.0";
inline constexpr size_t kIdSize = 16;

struct SnapshotRequest {
  std::string policy;  // empty: the host's choice
  Bytes nonce;         // 16 to 64 bytes
};

struct Request {
  Bytes id;
  // Monostate: something that this build does not know.
  std::variant<std::monostate, SnapshotRequest> body;
};

struct Refusal {
  std::string code;  // "too-soon"...
  std::string sentence;
  uint64_t retry_after_ms = 0;  // 0: asking again will not help
};

struct Accepted {
  uint64_t limit_ms = 0;
};

struct SnapshotTaken {
  std::string id;
  std::string vm_uuid;
  int64_t time_unix_ms = 0;
  std::string policy;
  Bytes policy_digest;
  std::string algorithm;
  Bytes root;
  Bytes nonce;
  Bytes evidence_sha256;
  std::string consistency;
  uint64_t pages = 0;
  uint64_t unreadable_pages = 0;
  uint64_t torn_pages = 0;
  uint64_t unavailable_regions = 0;
};

struct Answer {
  Bytes id;
  std::variant<std::monostate, Refusal, Accepted, SnapshotTaken> body;
};

// Payloads of frames.
Bytes Encode(const Request& request);
Bytes Encode(const Answer& answer);

// INVALID_ARGUMENT: it is none, of another version, or has a field that none
// has.
absl::StatusOr<Request> ParseRequest(ByteView payload);
absl::StatusOr<Answer> ParseAnswer(ByteView payload);

// Of values that came from elsewhere than ParseRequest().
absl::Status CheckRequest(const Request& request);

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_PROTOCOL_MESSAGES_H_
