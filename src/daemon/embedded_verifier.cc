#include "daemon/embedded_verifier.h"

#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "document/document.h"
#include "gate/approvers.h"

namespace vmattest::daemon {
namespace {

using verification::HostEntry;

constexpr size_t kMostPolicyBytes = 16u << 20;

bool EveryVm(const std::string&) { return true; }

}  // namespace

absl::StatusOr<std::string> EmbeddedVerifier::Appraise(
    const Request& request, MonotonicTime /*deadline*/) {
  ASSIGN_OR_RETURN(const HostEntry host, own_.Get());
  ASSIGN_OR_RETURN(verification::Appraiser::Result result,
                   parts_.appraiser.Appraise({.evidence = request.evidence,
                                              .nonce = request.nonce,
                                              .vm_uuid = request.vm_uuid,
                                              .may = EveryVm,
                                              .host_id = host.host_id}));
  return std::move(result.ear);
}

absl::StatusOr<gate::LaunchVerifier::HostPolicy>
EmbeddedVerifier::GetHostPolicy(const std::vector<std::string>& /*vm_uuids*/,
                                MonotonicTime /*deadline*/) {
  RETURN_IF_ERROR(TakeFolder());
  HostPolicy policy;
  ASSIGN_OR_RETURN(policy.revocation_epoch, parts_.store.RevocationEpoch());
  const absl::StatusOr<HostEntry> host = own_.Get();
  if (host.ok()) {
    policy.revoked = host->state == HostEntry::State::kRevoked;
    ASSIGN_OR_RETURN(policy.host_record, parts_.hosts.RecordOf(*host));
    if (policy.revoked) {
      return policy;
    }
    ASSIGN_OR_RETURN(policy.break_glass, parts_.orders.ForHost(host->host_id));
  } else if (!absl::IsUnavailable(host.status())) {
    return host.status();
  }
  ASSIGN_OR_RETURN(policy.references, References());
  return policy;
}

absl::Status EmbeddedVerifier::TakeFolder() {
  ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> files,
                   gate::FilesIn(parts_.folder));
  for (const std::filesystem::path& file : files) {
    ASSIGN_OR_RETURN(const Bytes bytes,
                     ReadFile(file, document::kMaxDocumentSize));
    TakeFile(file, bytes);
  }
  return absl::OkStatus();
}

// One file that is of no use does not keep the others from counting. Who
// approves may change, so what nobody signed is tried again.
void EmbeddedVerifier::TakeFile(const std::filesystem::path& file,
                                const Bytes& document) {
  const Bytes digest = Hash(HashAlgorithm::kSha256, document);
  {
    const MutexLock lock(mutex_);
    if (settled_.contains(digest)) {
      return;
    }
  }
  const auto put = parts_.references.PutDocument(document, EveryVm);
  const bool signed_by_nobody = put.ok() && !put->verdict.trusted();
  // A revision that does not grow is one that is there already.
  const bool settled = (put.ok() && !signed_by_nobody) ||
                       absl::IsFailedPrecondition(put.status());
  const MutexLock lock(mutex_);
  if (settled) {
    settled_.insert(digest);
  } else if (complained_.insert(digest).second) {
    log::Warning("a reference does not count",
                 {{"file", file.string()},
                  {"why", signed_by_nobody ? put->verdict.reasons.front().code
                                           : put.status().ToString()}});
  }
}

absl::StatusOr<std::vector<Bytes>> EmbeddedVerifier::References() {
  ASSIGN_OR_RETURN(const std::vector<verification::ReferenceEntry> newest,
                   parts_.references.List(EveryVm));
  std::set<std::string> vms;
  for (const verification::ReferenceEntry& entry : newest) {
    vms.insert(entry.vm_uuids.begin(), entry.vm_uuids.end());
  }
  std::set<std::pair<std::string, uint64_t>> seen;
  std::vector<Bytes> documents;
  size_t bytes = 0;
  for (const std::string& vm : vms) {
    ASSIGN_OR_RETURN(const std::vector<verification::ReferenceEntry> entries,
                     parts_.references.EntriesFor(vm, parts_.clock.Now()));
    for (const verification::ReferenceEntry& entry : entries) {
      if (!seen.emplace(entry.name, entry.revision).second) {
        continue;
      }
      ASSIGN_OR_RETURN(
          verification::ReferenceEntry whole,
          parts_.references.Get(entry.name, entry.revision, EveryVm));
      bytes += whole.document.size();
      if (bytes > kMostPolicyBytes) {
        return absl::ResourceExhaustedError("too many references");
      }
      documents.push_back(std::move(whole.document));
    }
  }
  return documents;
}

}  // namespace vmattest::daemon
