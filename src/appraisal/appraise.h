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
  std::optional<Bytes> nonce;            // that the relying party demanded
  std::optional<std::string> vm_uuid;    // that it asked about
  std::optional<std::string> host_id;
  std::optional<std::chrono::milliseconds> max_age;  // without a nonce
};

struct Decision {
  // Allowed: genuine evidence that meets its reference. Its reasons are all
  // that failed, in order; the first is the one to act on.
  Verdict verdict;
  std::vector<std::string> fixes;  // one for each reason, may be empty texts
  bool genuine = false;            // the host really said it
  verifier::Claims claims;
  // Of the reference that counted; empty: none for this VM ("reference-none").
  std::string reference_name;
  uint64_t reference_revision = 0;
  reference::GateMode mode = reference::GateMode::kEnforce;
};

// FAILED_PRECONDITION: no host is enrolled, nothing can be decided.
absl::StatusOr<Decision> Appraise(
    const Request& request, const verifier::Anchors& hosts,
    const std::vector<reference::Reference>& references, WallTime now);

// The decision as an attestation result: submodule "config" for the VM,
// "host" for the host, AR4SI vector, reasons, fixes; expiry by the reference.
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
