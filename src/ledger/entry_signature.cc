#include "ledger/entry_signature.h"

#include <utility>

#include "crypto/ecdsa_der.h"
#include "ledger/reason_codes.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kCoordinateSize = 32;

}  // namespace

std::shared_ptr<const EcVerifier> ImportWriterKey(const std::string& spki) {
  const absl::StatusOr<EcPublicKey> key = ParseP256Spki(AsBytes(spki));
  if (!key.ok()) {
    return nullptr;
  }
  absl::StatusOr<EcVerifier> verifier = EcVerifier::Import(*key);
  return verifier.ok()
             ? std::make_shared<const EcVerifier>(*std::move(verifier))
             : nullptr;
}

std::optional<Reason> CheckSignature(const LogPolicy& policy,
                                     const Entry& entry, const WriterKey& key) {
  if (!entry.by_document) {
    if (key.host == nullptr) {
      return Reason{std::string(reason::kWriterUnknown), "host_id",
                    "an authorised host", entry.body.host_id()};
    }
    const ByteView signature(entry.signature);
    if (!key.host->Verify(HostEntryDigest(entry.body_bytes),
                          signature.first(kCoordinateSize),
                          signature.subspan(kCoordinateSize))) {
      return Reason{std::string(reason::kSignature), "signature",
                    "by the ledger key of " + entry.body.host_id(), ""};
    }
    return std::nullopt;
  }
  document::Opened opened =
      document::Open(entry.document, kEntryPayloadType, policy.authorities);
  if (opened.verdict.trusted()) {
    return std::nullopt;
  }
  const bool may_own =
      entry.body.what_case() == v1::LedgerEntryBody::kVmRegister &&
      entry.body.vm_register().home().empty();
  if (may_own) {
    opened = document::Open(entry.document, kEntryPayloadType, policy.owners);
    if (opened.verdict.trusted()) {
      return opened.signer->name == entry.body.vm_register().owner()
                 ? std::nullopt
                 : std::optional(Reason{std::string(reason::kNotPermitted),
                                        "owner", opened.signer->name,
                                        entry.body.vm_register().owner()});
    }
  }
  const Reason& first = opened.verdict.reasons.front();
  return Reason{std::string(reason::kSignature),
                first.code + " " + first.element, first.expected, first.found};
}

}  // namespace vmattest::ledger
