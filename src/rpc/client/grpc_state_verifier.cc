#include "rpc/client/grpc_state_verifier.h"

#include <utility>

#include "grpcpp/client_context.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/baselines.grpc.pb.h"

namespace vmattest::rpc {
namespace {

using capture::SnapshotVerdict;

SnapshotVerdict FromWire(const v1::SnapshotVerdict& wire) {
  SnapshotVerdict verdict;
  verdict.genuine = wire.genuine();
  verdict.trusted = wire.trusted();
  verdict.compared = wire.compared();
  verdict.score = wire.score();
  verdict.baseline = wire.baseline();
  verdict.decision = wire.decision();
  verdict.ear = wire.ear();
  for (const v1::CheckFailure& failure : wire.failures()) {
    verdict.failures.push_back({failure.code(), failure.element(),
                                failure.expected(), failure.found()});
  }
  for (const v1::SnapshotDifference& difference : wire.differences()) {
    if (difference.severity() != "info") {
      verdict.differences.push_back(
          capture::DifferenceText(difference.severity(), difference.element(),
                                  difference.kind(), difference.found()));
    }
  }
  return verdict;
}

class GrpcComparison final : public capture::StateVerifier::Comparison {
 public:
  GrpcComparison(std::shared_ptr<grpc::Channel> channel, MonotonicTime deadline)
      : stub_(v1::Baselines::NewStub(channel)), deadline_(deadline) {}

  absl::Status Begin(const Bytes& evidence, const Bytes& guest_report) {
    v1::BeginComparisonRequest request;
    request.set_evidence(evidence.data(), evidence.size());
    request.set_guest_report(guest_report.data(), guest_report.size());
    v1::BeginComparisonResponse response;
    RETURN_IF_ERROR(
        Call(&v1::Baselines::Stub::BeginComparison, request, response));
    if (response.comparison().empty()) {
      verdict_ = FromWire(response.verdict());
      return absl::OkStatus();
    }
    handle_ = response.comparison();
    ASSIGN_OR_RETURN(against_, baseline::Parse(AsBytes(response.baseline())));
    return absl::OkStatus();
  }

  [[nodiscard]] const std::optional<SnapshotVerdict>& verdict() const override {
    return verdict_;
  }
  [[nodiscard]] const baseline::Baseline& against() const override {
    return against_;
  }

  absl::StatusOr<Bytes> Nodes(const std::string& region,
                              const std::vector<baseline::NodeRange>& ranges,
                              uint32_t prefix) override {
    v1::ReadNodesRequest request;
    request.set_comparison(handle_);
    request.set_region(region);
    request.set_prefix(prefix);
    for (const baseline::NodeRange& range : ranges) {
      v1::TreeNodes& nodes = *request.add_nodes();
      nodes.set_level(range.level);
      nodes.set_first(range.first);
      nodes.set_count(range.count);
    }
    v1::ReadNodesResponse response;
    RETURN_IF_ERROR(Call(&v1::Baselines::Stub::ReadNodes, request, response));
    return ToBytes(response.nodes());
  }

  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    v1::ReadRecordsRequest request;
    request.set_comparison(handle_);
    v1::ReadRecordsResponse response;
    RETURN_IF_ERROR(Call(&v1::Baselines::Stub::ReadRecords, request, response));
    std::vector<evidence::StateRecord> records;
    for (const v1::StateRecord& record : response.records()) {
      records.push_back({record.name(), record.text()});
    }
    return records;
  }

  absl::StatusOr<SnapshotVerdict> Finish(
      const baseline::Delta& delta) override {
    const Bytes encoded = EncodeDelta(delta);
    v1::FinishComparisonRequest request;
    request.set_comparison(handle_);
    // What is too much to tell is not proved, and refused.
    if (encoded.size() <= baseline::kMaxDelta) {
      request.set_delta(encoded.data(), encoded.size());
    }
    v1::SnapshotVerdict response;
    RETURN_IF_ERROR(
        Call(&v1::Baselines::Stub::FinishComparison, request, response));
    return FromWire(response);
  }

 private:
  template <class Request, class Response>
  absl::Status Call(grpc::Status (v1::Baselines::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(CallDeadline(deadline_));
    const absl::Status status =
        FromGrpc((stub_.get()->*method)(&context, request, &response));
    return absl::IsDeadlineExceeded(status)
               ? absl::UnavailableError("it does not answer in time")
               : status;
  }

  const std::unique_ptr<v1::Baselines::Stub> stub_;
  const MonotonicTime deadline_;
  std::string handle_;
  std::optional<SnapshotVerdict> verdict_;
  baseline::Baseline against_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<capture::StateVerifier::Comparison>>
GrpcStateVerifier::Begin(const Bytes& evidence, const Bytes& guest_report,
                         MonotonicTime deadline) {
  auto comparison = std::make_unique<GrpcComparison>(channel_, deadline);
  RETURN_IF_ERROR(comparison->Begin(evidence, guest_report));
  return comparison;
}

}  // namespace vmattest::rpc
