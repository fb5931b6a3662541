#include "gate/local_verifier.h"

#include <utility>

#include "appraisal/appraise.h"
#include "base/file.h"
#include "crypto/digest.h"
#include "document/key_files.h"
#include "gate/approvers.h"
#include "wire/codec.h"

namespace vmattest::gate {
namespace {

constexpr size_t kTokenIdSize = 16;

}  // namespace

absl::StatusOr<std::shared_ptr<const verifier::Anchors>>
LocalVerifier::OwnAnchors() {
  const std::optional<evidence::HostIdentity> identity = options_.identity();
  if (!identity) {
    return absl::UnavailableError("this host's identity is not known yet");
  }
  std::string json = wire::HostIdentityToJson(*identity);
  {
    const MutexLock lock(mutex_);
    if (anchors_ != nullptr && json == pinned_) {
      return anchors_;
    }
  }
  auto anchors = std::make_shared<verifier::Anchors>();
  RETURN_IF_ERROR(anchors->Add(json));
  const MutexLock lock(mutex_);
  pinned_ = std::move(json);
  anchors_ = std::move(anchors);
  return anchors_;
}

absl::StatusOr<std::string> LocalVerifier::Appraise(
    const Request& request, MonotonicTime /*deadline*/) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const verifier::Anchors> anchors,
                   OwnAnchors());
  std::shared_ptr<const std::vector<reference::Reference>> references;
  {
    const MutexLock lock(mutex_);
    references = references_;
  }
  appraisal::Request asked;
  asked.evidence = request.evidence;
  asked.nonce = request.nonce;
  asked.vm_uuid = request.vm_uuid;
  const WallTime now = clock_.Now();
  ASSIGN_OR_RETURN(const appraisal::Decision decision,
                   appraisal::Appraise(asked, *anchors, *references, now));
  token::Ear ear = appraisal::ToEar(decision, asked, now);
  ear.developer = "vmattest";
  ear.build = "vmattestd " VMATTEST_VERSION;
  ear.token_id = ToHex(RandomBytes(kTokenIdSize));
  return signer_.SignEs256(ear);
}

absl::StatusOr<LaunchVerifier::HostPolicy> LocalVerifier::GetHostPolicy(
    const std::vector<std::string>& /*vm_uuids*/, MonotonicTime /*deadline*/) {
  ASSIGN_OR_RETURN(const std::vector<document::PublicKey> approvers,
                   document::LoadKeysIfAny(options_.approvers));
  ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> files,
                   FilesIn(options_.references));
  HostPolicy policy;
  auto references = std::make_shared<std::vector<reference::Reference>>();
  for (const std::filesystem::path& file : files) {
    ASSIGN_OR_RETURN(Bytes bytes, ReadFile(file, document::kMaxDocumentSize));
    absl::StatusOr<reference::Reference> reference =
        OpenReference(bytes, approvers);
    if (reference.ok()) {
      references->push_back(*std::move(reference));
    }
    policy.references.push_back(std::move(bytes));
  }
  const MutexLock lock(mutex_);
  references_ = std::move(references);
  return policy;
}

}  // namespace vmattest::gate
