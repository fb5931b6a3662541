#ifndef VMATTEST_TLOG_POLICY_H_
#define VMATTEST_TLOG_POLICY_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tlog/checkpoint.h"
#include "tlog/note.h"

namespace vmattest::tlog {

inline constexpr size_t kMaxPolicySize = 256u << 10;

// Which checkpoints count: by one of these logs, cosigned by a quorum of these
// witnesses. A file as c2sp.org/tlog-policy has it. Immutable; callable from
// any thread.
class WitnessPolicy {
 public:
  // INVALID_ARGUMENT: names the line.
  static absl::StatusOr<WitnessPolicy> Parse(std::string_view file);

  struct Named {
    std::string name;  // of a witness: in the policy alone
    size_t verifier = 0;
    std::string url;
    // The same key was listed before: it never counts again, so that nobody
    // is two of a quorum.
    bool repeated = false;
  };
  [[nodiscard]] const std::vector<NoteVerifier>& verifiers() const {
    return verifiers_;
  }
  [[nodiscard]] const std::vector<Named>& logs() const { return logs_; }
  [[nodiscard]] const std::vector<Named>& witnesses() const {
    return witnesses_;
  }
  // How many members of the quorum's group it takes; 0: none, 1 for a witness.
  [[nodiscard]] size_t threshold() const;

  // Whether the quorum cosigned at `not_before_unix_s` or later; a cosignature
  // without a time counts only if that is 0.
  [[nodiscard]] bool HasQuorum(std::span<const VerifiedSignature> signatures,
                               int64_t not_before_unix_s) const;
  // The newest time since when a quorum had cosigned; 0: never did.
  [[nodiscard]] int64_t QuorumTime(
      std::span<const VerifiedSignature> signatures) const;

 private:
  struct Group {
    std::string name;
    size_t least = 1;
    std::vector<size_t> members;  // components before it
  };
  // A witness or a group: what a name stands for.
  struct Component {
    std::string name;
    bool is_group = false;
    size_t index = 0;
    bool used = false;
  };
  static constexpr size_t kNone = SIZE_MAX;

  absl::Status TakeLine(const std::vector<std::string_view>& words);
  absl::Status TakeLog(const std::vector<std::string_view>& words);
  absl::Status TakeWitness(const std::vector<std::string_view>& words);
  absl::Status TakeGroup(const std::vector<std::string_view>& words);
  absl::Status TakeQuorum(const std::vector<std::string_view>& words);
  absl::Status TakeName(std::string_view name, bool is_group, size_t index);
  [[nodiscard]] size_t Find(std::string_view name) const;

  std::vector<NoteVerifier> verifiers_;
  std::vector<Named> logs_;
  std::vector<Named> witnesses_;
  std::vector<Group> groups_;
  std::vector<Component> components_;
  bool has_quorum_ = false;
  size_t quorum_ = kNone;
};

// A checkpoint that the policy accepts.
struct AcceptedCheckpoint {
  Checkpoint checkpoint;
  std::string log_key;           // the vkey that signed it
  int64_t witnessed_unix_s = 0;  // when the quorum had cosigned; 0 without one
};
// INVALID_ARGUMENT: malformed, or a wrong signature. FAILED_PRECONDITION: a
// genuine note without the log's signature, of another origin than its key's,
// or without a quorum of cosignatures since `not_before_unix_s`.
absl::StatusOr<AcceptedCheckpoint> OpenCheckpoint(
    std::string_view note, const WitnessPolicy& policy,
    int64_t not_before_unix_s = 0);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_POLICY_H_
