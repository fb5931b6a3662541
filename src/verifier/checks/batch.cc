#include <fmt/format.h>

#include "crypto/digest.h"
#include "merkle/tree.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {

CheckResult CheckBatch(const Context& context) {
  const evidence::Envelope& envelope = context.evidence.envelope;
  const evidence::BatchProof& batch = context.quote->batch;
  const DigestBytes leaf = evidence::BatchLeaf(
      Hash(HashAlgorithm::kSha256,
           evidence::PreAuthEncoding(envelope.payload_type, envelope.payload)));
  const absl::StatusOr<DigestBytes> root = merkle::RootFromInclusion(
      HashAlgorithm::kSha256, batch.index, batch.size, leaf, batch.path);
  if (!root.ok()) {
    return CheckResult::Fail(
        reason::kBatchPathMalformed, "tpm2-quote.batch",
        fmt::format("a path for leaf {} of {}", batch.index, batch.size),
        std::string(root.status().message()));
  }
  const DigestBytes qualifying =
      evidence::QualifyingData(context.purpose, *root, batch.size);
  if (qualifying != context.attest.extra_data) {
    return CheckResult::Fail(
        reason::kBatchRoot, "tpm2-quote.quoted.extra_data",
        fmt::format("{} (payload, path and size give this)", ToHex(qualifying)),
        ToHex(context.attest.extra_data));
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
