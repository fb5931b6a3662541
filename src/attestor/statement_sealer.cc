#include "attestor/statement_sealer.h"

#include <memory>
#include <utility>
#include <variant>

#include "evidence/tpm_structures.h"

namespace vmattest::attestor {
namespace {

constexpr int kAttempts = 3;

}  // namespace

struct StatementSealer::Work {
  std::string payload_type;
  evidence::StatementHeader header;
  Encode encode;
  MonotonicTime deadline;
  Done done;
  Bytes payload;
  bool host_given = false;
  int attempts = 0;
};

void StatementSealer::Seal(std::string_view payload_type,
                           evidence::StatementHeader header, Encode encode,
                           MonotonicTime deadline, Done done) {
  auto work = std::make_shared<Work>();
  work->payload_type = payload_type;
  work->header = std::move(header);
  work->host_given = work->header.host.has_value();
  work->header.sequence = ++sequence_;
  work->encode = std::move(encode);
  work->deadline = deadline;
  work->done = std::move(done);
  Try(work);
}

std::optional<evidence::HostState> StatementSealer::HostOf(
    const signing::SignerState& state) const {
  if (!state.log) {
    return std::nullopt;
  }
  return evidence::HostState{
      .log_size = state.log->size,
      .log_head = state.log->head,
      .unmanaged_vms = options_.unmanaged ? options_.unmanaged() : 0};
}

std::optional<evidence::HostState> StatementSealer::HostNow() const {
  return HostOf(signer_.state());
}

void StatementSealer::Try(const std::shared_ptr<Work>& work) {
  ++work->attempts;
  const signing::SignerState state = signer_.state();
  if (!state.identity) {
    work->done(state.tpm.ok()
                   ? absl::UnavailableError("the TPM was not reached yet")
                   : state.tpm);
    return;
  }
  evidence::StatementHeader& header = work->header;
  header.module_version = VMATTEST_VERSION;
  header.host_id = state.identity->host_id;
  header.time_unix_ms = clock_.Now().time_since_epoch().count();
  header.signature_algorithms = state.algorithms;
  if (!work->host_given) {
    header.host = HostOf(state);
  }
  work->payload = work->encode(header);
  const absl::Status queued = signer_.Seal(
      work->payload_type, work->payload, work->deadline,
      [this,
       work](absl::StatusOr<std::vector<evidence::Signature>> signatures) {
        Signed(work, std::move(signatures));
      });
  if (!queued.ok()) {
    work->done(queued);
  }
}

void StatementSealer::Signed(
    const std::shared_ptr<Work>& work,
    absl::StatusOr<std::vector<evidence::Signature>> signatures) {
  if (absl::IsAborted(signatures.status()) && work->attempts < kAttempts) {
    Try(work);
    return;
  }
  if (!signatures.ok()) {
    work->done(signatures.status());
    return;
  }
  absl::StatusOr<SealedStatement> sealed =
      Finish(*work, *std::move(signatures));
  if (absl::IsAborted(sealed.status()) && work->attempts < kAttempts) {
    Try(work);
    return;
  }
  work->done(std::move(sealed));
}

absl::StatusOr<SealedStatement> StatementSealer::Finish(
    Work& work, std::vector<evidence::Signature> signatures) {
  SealedStatement sealed;
  const Bytes* key_name = nullptr;
  for (const evidence::Signature& signature : signatures) {
    if (const auto* quote =
            std::get_if<evidence::TpmQuoteSignature>(&signature.body)) {
      key_name = &quote->key_name;
    }
  }
  if (key_name == nullptr) {
    return absl::InternalError("the signer made no quote");
  }
  const signing::SignerState state = signer_.state();
  if (!state.identity || state.identity->host_id != work.header.host_id) {
    return absl::AbortedError("the TPM was replaced meanwhile");
  }
  for (const evidence::KeyCertification& key : state.identity->keys) {
    ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(key.public_area));
    if (name == *key_name) {
      sealed.keys.push_back(key);
    }
  }
  if (sealed.keys.empty()) {
    return absl::AbortedError("the key was replaced meanwhile");
  }
  sealed.envelope.payload_type = work.payload_type;
  sealed.envelope.payload = std::move(work.payload);
  sealed.envelope.signatures = std::move(signatures);
  return sealed;
}

}  // namespace vmattest::attestor
