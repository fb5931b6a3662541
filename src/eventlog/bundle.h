#ifndef VMATTEST_EVENTLOG_BUNDLE_H_
#define VMATTEST_EVENTLOG_BUNDLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "eventlog/cel.h"

namespace vmattest::eventlog {

inline constexpr std::string_view kBundleFormat = "vmattest/eventlog/v1";
inline constexpr size_t kMaxBundleSize = 512u << 20;

// A file that holds a host event log and all that is needed to check it: JSON
// with one CEL-JSON record a line, so that people can read and cut it.
//   {"format":"vmattest/eventlog/v1",
//   "evidence":"BASE64 of a serialised Evidence over a HostLogStatement",
//   "boot_log":"BASE64 of the firmware's log; empty if there is none",
//   "records":[
//   {...},
//   {...}
//   ]}
struct Bundle {
  Bytes evidence;
  Bytes boot_log;
  std::vector<CelRecord> records;
};

std::string EncodeBundle(const Bundle& bundle);
// Names in this order, each once; white space is free. INVALID_ARGUMENT names
// what is wrong, and the record, counted from 0.
absl::StatusOr<Bundle> ParseBundle(std::string_view json);

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_BUNDLE_H_
