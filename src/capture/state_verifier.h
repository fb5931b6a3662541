#ifndef VMATTEST_CAPTURE_STATE_VERIFIER_H_
#define VMATTEST_CAPTURE_STATE_VERIFIER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "baseline/delta.h"

namespace vmattest::capture {

// What a verifier says of a snapshot.
struct SnapshotVerdict {
  bool genuine = false;  // the host really said it
  bool trusted = false;
  bool compared = false;  // false: the score says nothing
  uint32_t score = 0;
  std::string baseline;  // "baseline:web@3"; empty: none
  uint64_t decision = 0;
  std::string ear;                       // JWT
  std::vector<Reason> failures;          // the first is the one to act on
  std::vector<std::string> differences;  // for people, the gravest first
  // There was nothing to compare it with: no baseline, or one of another run
  // that has pages alone. Says nothing about the VM.
  [[nodiscard]] bool lacks_baseline() const;
};

// "critical syscall/62 (code): elsewhere"
std::string DifferenceText(std::string_view severity, std::string_view element,
                           std::string_view kind, std::string_view found);

// The verifier, as a host that made a snapshot needs it. Any thread; blocks
// until the deadline at most.
class StateVerifier {
 public:
  virtual ~StateVerifier() = default;

  // One snapshot's way to its verdict; the baseline's nodes are read through
  // it. One thread.
  class Comparison : public baseline::NodeSource {
   public:
    // Set if it was decided without comparing.
    [[nodiscard]] virtual const std::optional<SnapshotVerdict>& verdict()
        const = 0;
    // Unless it was decided.
    [[nodiscard]] virtual const baseline::Baseline& against() const = 0;
    virtual absl::StatusOr<SnapshotVerdict> Finish(
        const baseline::Delta& delta) = 0;
  };
  // `guest_report`: serialised, or empty. UNAVAILABLE: it was not reached in
  // time. Else as the service Baselines.
  virtual absl::StatusOr<std::unique_ptr<Comparison>> Begin(
      const Bytes& evidence, const Bytes& guest_report,
      MonotonicTime deadline) = 0;
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_STATE_VERIFIER_H_
