#ifndef VMATTEST_EVENTLOG_HOST_EVENT_H_
#define VMATTEST_EVENTLOG_HOST_EVENT_H_

#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace vmattest::eventlog {

// One entry of the host event log: what happened, and facts by name. The kinds
// and their facts: docs/formats/host-event-log.md.
//   "boot"            first of each boot: previous_head, previous_size,
//                     reset_count, restart_count, boot_count, closed ("true",
//                     or "false" for an unclean boot)
//   "daemon-started", "daemon-stopped" (the close record)
//   "vm-defined", "vm-started", "vm-stopped"...: vm_uuid, vm_name, algorithm,
//                     root, leaf_count, or error
//   "libvirt-lost", "libvirt-found": what happened between was not seen
//   "unmanaged-vm", "unmanaged-vm-gone" (rule S19)
//   "log-loss"        what is missing of this log, by record numbers
//   "key-rotated", "key-revoked", "boot-approved", "re-enrolled"
struct HostEvent {
  std::string kind;
  std::map<std::string, std::string> facts;
  int64_t time_unix_ms = 0;
  friend bool operator==(const HostEvent&, const HostEvent&) = default;
};

inline constexpr size_t kMaxHostEventSize = 16u << 10;

// Canonical JSON: one object {"facts":{...},"kind":"...","time_unix_ms":N},
// keys sorted, no white space, ASCII only. Its bytes are what a record holds
// and what its digest is over.
std::string EncodeHostEvent(const HostEvent& event);
// INVALID_ARGUMENT: not what EncodeHostEvent would have written, too large, or
// a kind that is not lower-case words joined by dashes.
absl::StatusOr<HostEvent> ParseHostEvent(std::string_view json);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_HOST_EVENT_H_
