#ifndef VMATTEST_TRUST_STATE_CODEC_H_
#define VMATTEST_TRUST_STATE_CODEC_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "trust/fold.h"

// Derived state as keys and bytes (docs/formats/ledger.md, "State"): one
// encoding of each value. Parsing gives INVALID_ARGUMENT for all other bytes.
// Pure; callable from any thread.

namespace vmattest::trust {

inline constexpr std::string_view kFoldStateKey = "fold";
struct FoldState {
  uint64_t witnessed = 0;
  int64_t newest_ms = 0;
  std::map<uint64_t, ScoreRules> rules;
};
Bytes EncodeFoldState(const FoldState& state);
absl::StatusOr<FoldState> ParseFoldState(ByteView bytes);

std::string VmStateKey(const Uuid& vm);  // "vm/UUID"
absl::StatusOr<Uuid> ParseVmStateKey(std::string_view key);
Bytes EncodeVmState(const VmState& state);
absl::StatusOr<VmState> ParseVmState(ByteView bytes);

std::string HostStateKey(std::string_view host);  // "host/ID"
absl::StatusOr<std::string> ParseHostStateKey(std::string_view key);
Bytes EncodeHostState(const HostState& state);
absl::StatusOr<HostState> ParseHostState(ByteView bytes);

// Also the policy entry's rules.
void WriteRules(const ScoreRules& rules, ByteWriter& writer);
ScoreRules ReadRules(ByteReader& reader);

}  // namespace vmattest::trust

#endif  // VMATTEST_TRUST_STATE_CODEC_H_
