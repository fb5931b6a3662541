#ifndef VMATTEST_REFERENCE_REFERENCE_H_
#define VMATTEST_REFERENCE_REFERENCE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/digest.h"
#include "vmattest/types/verdict.h"

// Reference values: what a VM's owner approved, as values and pure functions
// (proto/vmattest/v1/document.proto says what each field means). Callable from
// any thread.

namespace vmattest::reference {

enum class GateMode : uint8_t { kEnforce, kWarn, kLearn };
std::string_view ToString(GateMode mode);

struct LeafRule {
  enum class Kind : uint8_t { kEqual, kOneOf, kAtLeast, kAtMost, kAbsent, kAny };
  std::string path;
  Kind kind = Kind::kEqual;
  std::optional<LeafType> type;
  std::vector<std::string> values;
};

struct Header {
  int64_t issued_unix_ms = 0;
  int64_t not_before_unix_ms = 0;
  int64_t not_after_unix_ms = 0;
  std::vector<std::string> signature_algorithms;
};

struct Reference {
  Header header;
  std::string name;
  uint64_t revision = 0;
  std::vector<std::string> vm_uuids;  // lower case, or "*"
  GateMode mode = GateMode::kEnforce;
  // Configuration.
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  std::string content = "chain";
  std::string inside = "none";
  std::vector<DigestBytes> roots;
  std::vector<LeafRule> rules;
  bool accept_other_leaves = false;
  bool accept_cached_content = true;
  bool accept_unavailable = false;
  bool disk_continuity = false;
  // Host.
  std::vector<std::string> host_ids;
  std::map<uint32_t, std::vector<Bytes>> pcrs;
  std::vector<std::string> required_signatures;
  std::optional<uint64_t> max_unmanaged_vms;
  uint32_t verdict_seconds = 3600;
  std::string comment;
};

// The payload of a reference document. Strict as wire/codec.h is.
// INVALID_ARGUMENT names the field: also for rules that contradict themselves
// (no values, numbers that are none, `absent` with accept_other_leaves, a
// validity that ends before it begins, nothing demanded at all).
Bytes Encode(const Reference& reference);
absl::StatusOr<Reference> Parse(ByteView payload);

// Source form that people write: YAML whose keys are the fields' names,
// unknown keys are errors (docs/references.md).
absl::StatusOr<Reference> FromYaml(std::string_view yaml);
std::string ToYaml(const Reference& reference);

// An exact reference of what was measured: its root, and a rule `equal` for
// each leaf so that differences can be named.
Reference Learn(std::string name, std::string vm_uuid, HashAlgorithm algorithm,
                const std::vector<ConfigLeaf>& leaves, const DigestBytes& root);

// One demand that is not met, and the least that would meet it.
struct Finding {
  Reason reason;  // code: "reference-leaf-changed", "reference-leaf-missing",
                  // "reference-leaf-added", "reference-leaf-forbidden",
                  // "reference-leaf-range", "reference-leaf-unavailable",
                  // "reference-root", "reference-needs-leaves"
  std::string fix;  // "set memory/max to at least 4294967296"
};
// `leaves` as verifier::Claims has them; empty for a salted tree whose leaves
// were kept back: then only roots can decide. Deterministic; findings by path.
// Bounded: at most rules x leaves cheap comparisons.
std::vector<Finding> Evaluate(const Reference& reference,
                              const std::vector<ConfigLeaf>& leaves,
                              const DigestBytes& root);

// Whose reference counts: of those that are valid at `now`, one that names the
// VM goes before "*", then the highest revision of its name; several names for
// one VM are an error of the store, which refuses the second.
const Reference* Select(const std::vector<Reference>& references,
                        std::string_view vm_uuid, WallTime now);

}  // namespace vmattest::reference

#endif  // VMATTEST_REFERENCE_REFERENCE_H_
