#include "appraisal/demands.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "evidence/envelope.h"
#include "reference/reason_codes.h"
#include "verifier/reason_codes.h"

namespace vmattest::appraisal {
namespace {

namespace ours = reference::reason;
namespace theirs = verifier::reason;
using Failures = std::vector<Failure>;

void Add(Failures& failures, std::string_view code, std::string element,
         std::string expected, std::string found, std::string fix) {
  failures.push_back({{std::string(code), std::move(element),
                       std::move(expected), std::move(found)},
                      std::move(fix)});
}

void CheckHostId(const verifier::Claims& claims,
                 const reference::Reference& reference, Failures& failures) {
  const std::vector<std::string>& allowed = reference.host_ids;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(),
                                    claims.host_id) == allowed.end()) {
    Add(failures, ours::kHost, "host_id",
        fmt::format("{}", fmt::join(allowed, " or ")), claims.host_id,
        "run the VM on a host that the reference names");
  }
}

void CheckPcrs(const verifier::Claims& claims,
               const reference::Reference& reference, Failures& failures) {
  static const std::map<uint32_t, std::vector<uint8_t>> kNone;
  const auto& found =
      claims.pcr_banks.empty() ? kNone : claims.pcr_banks.front().values;
  for (const auto& [index, allowed] : reference.pcrs) {
    const auto value = found.find(index);
    if (value != found.end() && std::find(allowed.begin(), allowed.end(),
                                          value->second) != allowed.end()) {
      continue;
    }
    std::vector<std::string> expected;
    for (const Bytes& one : allowed) {
      expected.push_back(ToHex(one));
    }
    Add(failures, theirs::kPcrNotAllowed, fmt::format("PCR {}", index),
        fmt::format("{}", fmt::join(expected, " or ")),
        value == found.end() ? "not quoted" : ToHex(value->second),
        fmt::format("boot the host so that PCR {} has an approved value, or "
                    "have this one approved",
                    index));
  }
}

void CheckSignatures(const verifier::Claims& claims,
                     const reference::Reference& reference,
                     Failures& failures) {
  for (const std::string& algorithm : reference.required_signatures) {
    const auto found =
        std::find_if(claims.signatures.begin(), claims.signatures.end(),
                     [&algorithm](const verifier::SignatureClaim& signature) {
                       return signature.algorithm == algorithm;
                     });
    if (found == claims.signatures.end()) {
      Add(failures, theirs::kSignatureRequired, algorithm, "a signature",
          "none", fmt::format("have the host sign with {}", algorithm));
    } else if (found->state != "verified") {
      Add(failures, theirs::kPqUnchecked, algorithm, "checked", found->state,
          "appraise with a verifier that has ML-DSA");
    }
  }
}

void CheckUnmanaged(const verifier::Claims& claims,
                    const reference::Reference& reference, Failures& failures) {
  if (!reference.max_unmanaged_vms) {
    return;
  }
  // Only a host with an event log says how many there are.
  const bool said = claims.log_size != 0;
  const uint64_t most = *reference.max_unmanaged_vms;
  if (!said || claims.unmanaged_vms > most) {
    Add(failures, theirs::kUnmanagedVms, "unmanaged_vms",
        fmt::format("at most {}", most),
        said ? fmt::format("{}", claims.unmanaged_vms) : "not said",
        said ? fmt::format("stop {} VMs that run beside libvirt",
                           claims.unmanaged_vms - most)
             : "have the host keep its event log");
  }
}

void CheckMeasurement(const verifier::Claims& claims,
                      const reference::Reference& reference,
                      Failures& failures) {
  if (claims.algorithm != reference.algorithm) {
    const std::string_view wanted = vmattest::ToString(reference.algorithm);
    Add(failures, ours::kAlgorithm, "algorithm", std::string(wanted),
        std::string(vmattest::ToString(claims.algorithm)),
        fmt::format("measure with {}", wanted));
  }
  if (claims.content != reference.content) {
    Add(failures, ours::kContent, "content", reference.content, claims.content,
        fmt::format("measure with content policy {}", reference.content));
  }
  if (claims.inside != reference.inside) {
    Add(failures, ours::kInside, "inside", reference.inside, claims.inside,
        fmt::format("measure with inside policy {}", reference.inside));
  }
  if (!reference.accept_cached_content) {
    for (const std::string& path : claims.cached_paths) {
      Add(failures, theirs::kContentCached, path, "read for this request",
          "cached", fmt::format("have {} read anew", path));
    }
  }
}

}  // namespace

std::vector<Failure> Demand(const verifier::Claims& claims,
                            const reference::Reference& reference) {
  Failures failures;
  CheckHostId(claims, reference, failures);
  CheckPcrs(claims, reference, failures);
  CheckSignatures(claims, reference, failures);
  CheckUnmanaged(claims, reference, failures);
  CheckMeasurement(claims, reference, failures);
  for (reference::Finding& finding :
       reference::Evaluate(reference, claims.leaves, claims.root)) {
    failures.push_back({std::move(finding.reason), std::move(finding.fix)});
  }
  return failures;
}

std::string FixFor(const Reason& reason) {
  if (reason.code == theirs::kHostUnknown) {
    return "enrol the host";
  }
  if (reason.code == theirs::kNonceMismatch) {
    return "have evidence made with the nonce that was demanded";
  }
  if (reason.code == theirs::kTimeTooOld ||
      reason.code == theirs::kMeasurementTooOld) {
    return "have new evidence made";
  }
  if (reason.code == theirs::kKeyRevoked) {
    return "have evidence made with the host's current key";
  }
  if (reason.code == theirs::kVmMismatch) {
    return fmt::format("send evidence of VM {}", reason.expected);
  }
  return "";
}

bool IsAboutHost(const Reason& reason) {
  static constexpr std::string_view kCodes[] = {
      ours::kHost,           ours::kHostRequested,       theirs::kPcrNotAllowed,
      theirs::kUnmanagedVms, theirs::kSignatureRequired, theirs::kPqUnchecked};
  return std::find(std::begin(kCodes), std::end(kCodes), reason.code) !=
         std::end(kCodes);
}

}  // namespace vmattest::appraisal
