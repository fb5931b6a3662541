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

// Which rule a leaf is judged by: the one with its very path; else, of the
// patterns that match it, the first in the order of the reference. A rule
// without a pattern demands its leaf, except `absent` and `any`; a pattern
// demands nothing of leaves that are not there.
struct LeafRule {
  enum class Kind : uint8_t {
    kEqual,
    kOneOf,
    kAtLeast,
    kAtMost,
    kAbsent,
    kAny
  };
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
  bool accept_unrecorded_disks = false;
  bool strict_start = false;
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
// What is not given has Reference's defaults; a header is not needed yet.
absl::StatusOr<Reference> FromYaml(std::string_view yaml);
std::string ToYaml(const Reference& reference);

// An exact reference of what was measured: its root, and a rule `equal` for
// each leaf so that differences can be named.
Reference Learn(std::string name, std::string vm_uuid, HashAlgorithm algorithm,
                const std::vector<ConfigLeaf>& leaves, const DigestBytes& root);

// The least change of a configuration that meets a demand.
struct Change {
  enum class Kind : uint8_t { kNone, kSet, kRemove };
  Kind kind = Kind::kNone;  // kNone: no change of one leaf would do
  ConfigLeaf leaf;          // kRemove: the path alone
};

// One demand that is not met, and the least that would meet it.
struct Finding {
  Reason reason;    // code: "reference-leaf-changed", "reference-leaf-missing",
                    // "reference-leaf-added", "reference-leaf-forbidden",
                    // "reference-leaf-range", "reference-leaf-unavailable",
                    // "reference-root", "reference-needs-leaves"
  std::string fix;  // "set memory/max to at least 4294967296"
  Change change;
};
// `leaves` as verifier::Claims has them; empty for a salted tree whose leaves
// were kept back: then only roots can decide. A root that is listed is enough;
// if there are roots and it is none of them, the rules say why. Deterministic;
// findings by path, "reference-root" last. A leaf of type "unavailable" meets
// only rules that name that type; with accept_unavailable also `any`, and being
// named by no rule where those are accepted.
// Bounded: at most patterns x leaves matches, and a look-up for each leaf.
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
