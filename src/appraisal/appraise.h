#ifndef VMATTEST_APPRAISAL_APPRAISE_H_
#define VMATTEST_APPRAISAL_APPRAISE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "reference/reference.h"
#include "token/ear.h"
#include "vmattest/verifier/verifier.h"

// Evidence against reference values: the verifier role's one decision, pure.
// Callable from any thread.

namespace vmattest::appraisal {

struct Request {
  ByteView evidence;
  std::optional<Bytes> nonce;          // that the relying party demanded
  std::optional<std::string> vm_uuid;  // that it asked about
  std::optional<std::string> host_id;
  std::optional<std::chrono::milliseconds> max_age;  // without a nonce
};

struct Decision {
  // Allowed: genuine evidence that meets its reference. Its reasons are all
  // that failed, in order; the first is the one to act on.
  Verdict verdict;
  std::vector<std::string> fixes;  // one for each reason, may be empty texts
  bool genuine = false;            // the host really said it
  bool pcrs_demanded = false;      // the reference has values for PCRs
  verifier::Claims claims;
  // Of the reference that counted; empty: none for this VM ("reference-none").
  std::string reference_name;
  uint64_t reference_revision = 0;
  reference::GateMode mode = reference::GateMode::kEnforce;
  // Until when it holds for an unchanged VM: the reference's verdict_seconds,
  // never past its validity. Without a reference, kRefusalLifetime.
  WallTime expires;
};
inline constexpr std::chrono::milliseconds kRefusalLifetime =
    std::chrono::minutes(5);
// What a kept decision is bound to beside its reference (rule S16); changes
// with the meaning of an appraisal.
inline constexpr std::string_view kPolicy =
    "tag:vmattest.org,2026:appraisal/v1";

// `references`: those of the store, in force or not; the one that counts is
// chosen by the VM that genuine evidence names, never by the request.
// FAILED_PRECONDITION: no host is enrolled, nothing can be decided.
absl::StatusOr<Decision> Appraise(
    const Request& request, const verifier::Anchors& hosts,
    const std::vector<reference::Reference>& references, WallTime now);

// The decision as an attestation result: submodule "config" for the VM,
// "host" for the host, AR4SI vector, reasons, fixes; expiry by the reference
// (docs/appraisal.md). Long texts are cut and at most kMaxEarReasons reasons
// kept, with "reference-more" in place of the rest, so that any decision fits
// into a token. Empty `developer`, `build` and `token_id` are the caller's.
inline constexpr size_t kMaxEarReasons = 100;
inline constexpr size_t kMaxEarText = 256;
token::Ear ToEar(const Decision& decision, const Request& request,
                 WallTime now);

// Recorded evidence against a reference that is not active yet.
struct Flip {
  std::string vm_uuid;
  bool allowed_before = false;
  bool allowed_after = false;
  std::vector<Reason> reasons;  // of the refusal, before or after
};
// Evidence is judged as of the time it was made; its freshness is not asked
// for again. In the order of `recorded`; those that do not flip are left out.
absl::StatusOr<std::vector<Flip>> Simulate(
    const std::vector<Bytes>& recorded, const verifier::Anchors& hosts,
    const std::vector<reference::Reference>& active,
    const reference::Reference& proposed);

}  // namespace vmattest::appraisal

#endif  // VMATTEST_APPRAISAL_APPRAISE_H_
