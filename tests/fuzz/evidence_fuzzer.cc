// Hostile evidence files: first as they are, then with sound signatures put
// under what they say, so that the checks behind the signatures are reached.

#include <algorithm>
#include <cstdlib>

#include "base/clock.h"
#include "crypto/digest.h"
#include "evidence/envelope.h"
#include "merkle/tree.h"
#include "support/evidence_builder.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using testing::EvidenceBuilder;

struct Bed {
  testing::SoftHost host;
  verifier::Anchors anchors;
  Bed() {
    if (!anchors.Add(wire::HostIdentityToJson(host.Identity())).ok()) {
      std::abort();
    }
  }
};

verifier::Appraisal Appraise(ByteView bytes, const Bed& bed) {
  const WallTime now{std::chrono::milliseconds(EvidenceBuilder::kTimeUnixMs)};
  const auto appraisal =
      verifier::Verify(bytes, bed.anchors, verifier::Policy(), now);
  if (!appraisal.ok() ||
      appraisal->verdict.trusted() != appraisal->verdict.reasons.empty()) {
    std::abort();
  }
  return *appraisal;
}

void SignAnew(evidence::Evidence& evidence, const testing::SoftHost& host) {
  evidence.keys = {host.Certify(KeyPurpose::kConfig)};
  evidence::Envelope& envelope = evidence.envelope;
  auto statement = wire::ParseConfigStatement(envelope.payload);
  if (statement.ok()) {
    statement->header.host_id = host.host_id();
    envelope.payload = wire::EncodeConfigStatement(*statement);
  }
  const testing::SoftKey& key = host.purpose_keys.at(KeyPurpose::kConfig);
  for (evidence::Signature& signature : envelope.signatures) {
    auto* quote = std::get_if<evidence::TpmQuoteSignature>(&signature.body);
    auto attest =
        quote != nullptr
            ? evidence::ParseAttest(quote->quoted)
            : absl::StatusOr<evidence::Attest>(absl::UnknownError(""));
    if (!attest.ok()) {
      continue;
    }
    const auto root = merkle::RootFromInclusion(
        HashAlgorithm::kSha256, quote->batch.index, quote->batch.size,
        evidence::BatchLeaf(Hash(HashAlgorithm::kSha256,
                                 evidence::PreAuthEncoding(
                                     envelope.payload_type, envelope.payload))),
        quote->batch.path);
    if (root.ok()) {
      attest->extra_data = evidence::QualifyingData(KeyPurpose::kConfig, *root,
                                                    quote->batch.size);
    }
    for (evidence::PcrSelection& selection : attest->pcr_selections) {
      std::erase_if(selection.indexes, [](uint32_t i) { return i > 23; });
    }
    const auto digest = evidence::PcrDigest(
        testing::kTpmAlgSha256, attest->pcr_selections, quote->pcr_banks);
    if (digest.ok()) {
      attest->pcr_digest = *digest;
    }
    attest->qualified_signer = key.qualified_name();
    quote->key_name = key.name();
    quote->quoted = testing::EncodeAttest(*attest);
    quote->signature = key.Sign(quote->quoted);
  }
}

void Run(ByteView bytes) {
  static const Bed& bed = *new Bed();
  if (Appraise(bytes, bed).verdict.trusted()) {
    std::abort();  // nothing that came from outside is signed by this host
  }
  auto evidence = wire::ParseEvidence(bytes);
  if (!evidence.ok()) {
    return;
  }
  const Bytes again = wire::EncodeEvidence(*evidence);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();  // two encodings of one value
  }
  SignAnew(*evidence, bed.host);
  Appraise(wire::EncodeEvidence(*evidence), bed);
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
