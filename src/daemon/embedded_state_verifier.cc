#include "daemon/embedded_state_verifier.h"

#include <string>
#include <vector>

#include "baseline/baseline.h"
#include "baseline/delta.h"

namespace vmattest::daemon {
namespace {

using capture::SnapshotVerdict;
using verification::SnapshotComparer;

constexpr char kCaller[] = "this host";

bool EveryVm(const std::string&) { return true; }

SnapshotVerdict ToVerdict(const SnapshotComparer::Result& result) {
  SnapshotVerdict verdict;
  verdict.genuine = result.decision.genuine;
  verdict.trusted = result.decision.trusted;
  verdict.compared = result.compared;
  verdict.score = result.score;
  verdict.baseline = result.decision.reference;
  verdict.decision = result.decision.sequence;
  verdict.ear = result.decision.ear;
  verdict.failures = result.decision.reasons;
  for (const baseline::Difference& difference : result.differences) {
    if (difference.severity != snapshot::Severity::kInfo) {
      verdict.differences.push_back(capture::DifferenceText(
          snapshot::ToString(difference.severity), difference.element,
          baseline::ToString(difference.kind), difference.found));
    }
  }
  return verdict;
}

class EmbeddedComparison final : public capture::StateVerifier::Comparison {
 public:
  explicit EmbeddedComparison(SnapshotComparer& comparer)
      : comparer_(comparer) {}

  absl::Status Begin(const Bytes& evidence, const Bytes& guest_report,
                     const std::string& host_id) {
    ASSIGN_OR_RETURN(SnapshotComparer::Begun begun,
                     comparer_.Begin({.evidence = evidence,
                                      .nonce = {},
                                      .guest_report = guest_report,
                                      .caller = kCaller,
                                      .may = EveryVm,
                                      .host_id = host_id}));
    if (begun.result) {
      verdict_ = ToVerdict(*begun.result);
      return absl::OkStatus();
    }
    comparison_ = std::move(begun.comparison);
    ASSIGN_OR_RETURN(against_, comparer_.BaselineOf(kCaller, comparison_));
    return absl::OkStatus();
  }

  [[nodiscard]] const std::optional<SnapshotVerdict>& verdict() const override {
    return verdict_;
  }
  [[nodiscard]] const baseline::Baseline& against() const override {
    return against_->baseline();
  }
  absl::StatusOr<Bytes> Nodes(const std::string& region,
                              const std::vector<baseline::NodeRange>& ranges,
                              uint32_t prefix) override {
    return baseline::ReadNodes(*against_, region, ranges, prefix);
  }
  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    return against_->records();
  }
  absl::StatusOr<SnapshotVerdict> Finish(
      const baseline::Delta& delta) override {
    Bytes encoded = baseline::EncodeDelta(delta);
    if (encoded.size() > baseline::kMaxDelta) {
      encoded.clear();  // not proved, and refused
    }
    ASSIGN_OR_RETURN(const SnapshotComparer::Result result,
                     comparer_.Finish(kCaller, comparison_, encoded));
    return ToVerdict(result);
  }

 private:
  SnapshotComparer& comparer_;
  Bytes comparison_;
  std::shared_ptr<const baseline::LoadedBaseline> against_;
  std::optional<SnapshotVerdict> verdict_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<capture::StateVerifier::Comparison>>
EmbeddedStateVerifier::Begin(const Bytes& evidence, const Bytes& guest_report,
                             MonotonicTime /*deadline*/) {
  ASSIGN_OR_RETURN(const verification::HostEntry host, own_.Get());
  auto comparison = std::make_unique<EmbeddedComparison>(comparer_);
  RETURN_IF_ERROR(comparison->Begin(evidence, guest_report, host.host_id));
  return comparison;
}

}  // namespace vmattest::daemon
