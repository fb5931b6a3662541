#ifndef VMATTEST_RPC_CONVERSIONS_H_
#define VMATTEST_RPC_CONVERSIONS_H_

#include <optional>
#include <string>

#include "attestor/attestor.h"
#include "attestor/event_hub.h"
#include "base/status.h"
#include "base/uuid.h"
#include "inspection/disk_inspector.h"
#include "kvm/process_watch.h"
#include "measurement/domain_measurer.h"
#include "vmattest/v1/attestation.pb.h"

// Between messages of the Attestation service and our values. Requests come
// from outside: every field is checked, and what is wrong is FieldError(field).
// Pure; callable from any thread.

namespace vmattest::rpc {

inline constexpr size_t kMaxVmReference = 256;
inline constexpr size_t kDefaultPage = 500;
inline constexpr size_t kMaxPage = 1000;
inline constexpr int kMaxDisclosedLeaves = 64;
inline constexpr size_t kMaxLeafPath = 1024;

// What a request that names none gets.
struct RequestDefaults {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
  inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
};

// Deadline, cancellation and VM's authority are the caller's to fill in.
absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::MeasureConfigRequest& request, const RequestDefaults& defaults);
absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::AttestConfigRequest& request, const RequestDefaults& defaults);
absl::StatusOr<attestor::ConfigRequest> FromWire(
    const v1::DiscloseLeafRequest& request, const RequestDefaults& defaults);

// A UUID or a name; not empty, at most kMaxVmReference bytes.
absl::Status CheckVm(const std::string& vm);

struct Page {
  size_t size = kDefaultPage;
  std::optional<Uuid> after;
};
absl::StatusOr<Page> FromWire(const v1::ListVmsRequest& request);

// Empty, or kMinNonceSize to kMaxNonceSize bytes.
absl::StatusOr<Bytes> Nonce(const std::string& nonce);

v1::Vm ToWire(const inventory::VmRecord& vm);
v1::UnmanagedVm ToWire(const kvm::VmProcess& process);
v1::MeasureConfigResponse ToWire(
    const measurement::DomainMeasurement& measurement);
v1::WatchEventsResponse ToWire(const attestor::WatchedEvent& event);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CONVERSIONS_H_
