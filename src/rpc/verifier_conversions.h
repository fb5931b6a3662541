#ifndef VMATTEST_RPC_VERIFIER_CONVERSIONS_H_
#define VMATTEST_RPC_VERIFIER_CONVERSIONS_H_

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "rpc/authorizer.h"
#include "verification/appraiser.h"
#include "verification/verifier_store.h"
#include "vmattest/types/verdict.h"
#include "vmattest/v1/enrollment.pb.h"
#include "vmattest/v1/verifier.pb.h"

// Between messages of the Enrollment and Verifier services and our values.
// Requests come from outside: every field is checked, and what is wrong is
// FieldError(field). Pure; callable from any thread.

namespace vmattest::rpc {

// Whose VMs this caller may ask about.
verification::MayVm MayOf(const Authority& authority);

// A UUID in its one spelling; empty stays empty where it may.
absl::StatusOr<std::string> VmUuid(const std::string& field, bool may_be_empty);
// Empty, or 16 to 64 bytes.
absl::StatusOr<Bytes> DemandedNonce(const std::string& nonce);
// 64 lower-case hexadecimal digits... as an EK's name gives.
absl::Status CheckHostId(const std::string& host_id);
// TPM2B_NAME's content: algorithm and digest.
absl::StatusOr<Bytes> AkName(const std::string& field);
// Of a list; 0 is the default.
absl::StatusOr<size_t> PageSize(int32_t page_size);

// PERMISSION_DENIED with the verdict's first reason, code and all, as
// `reason`'s metadata. The verdict is not trusted.
absl::Status Refusal(const Verdict& verdict, std::string_view reason);
// `status` with a reason by its code, where one is given for it.
absl::Status Reasoned(
    absl::Status status,
    std::initializer_list<std::pair<absl::StatusCode, std::string_view>>
        reasons);

v1::Host ToWire(const verification::HostEntry& host);
v1::Decision ToWire(const verification::DecisionEntry& decision);
v1::AppraiseResponse ToWire(const verification::Appraiser::Result& result);
v1::ReferenceSummary ToWire(const verification::ReferenceEntry& reference);
v1::SimulateResponse ToWire(
    const verification::Appraiser::Simulation& simulation);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_VERIFIER_CONVERSIONS_H_
