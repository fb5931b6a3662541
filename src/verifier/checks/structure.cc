#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"
#include "wire/codec.h"
#include "wire/ledger_key_codec.h"

namespace vmattest::verifier {
namespace {

using evidence::kMlDsa65Algorithm;
using evidence::kMlDsa87Algorithm;
using evidence::kTpmQuoteAlgorithm;

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

absl::Status ParseStatement(Context& context) {
  const evidence::Envelope& envelope = context.evidence.envelope;
  if (envelope.payload_type == evidence::kHostLogPayloadType) {
    ASSIGN_OR_RETURN(context.host_log,
                     wire::ParseHostLogStatement(envelope.payload));
    context.statement.header = context.host_log->header;
    return absl::OkStatus();
  }
  if (envelope.payload_type == evidence::kStatePayloadType) {
    ASSIGN_OR_RETURN(context.state,
                     wire::ParseStateStatement(envelope.payload));
    context.statement.header = context.state->header;
    context.statement.algorithm = context.state->algorithm;
    context.statement.root = context.state->root;
    context.statement.vm_state = context.state->vm_state;
    return absl::OkStatus();
  }
  if (envelope.payload_type == evidence::kLedgerKeyPayloadType) {
    ASSIGN_OR_RETURN(context.ledger_key,
                     wire::ParseLedgerKeyStatement(envelope.payload));
    context.statement.header = context.ledger_key->header;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(context.statement,
                   wire::ParseConfigStatement(envelope.payload));
  return absl::OkStatus();
}

CheckResult ParsePayload(Context& context) {
  const evidence::Envelope& envelope = context.evidence.envelope;
  const absl::StatusOr<KeyPurpose> purpose =
      evidence::PurposeOf(envelope.payload_type);
  if (!purpose.ok()) {
    return CheckResult::Fail(
        reason::kPayloadTypeUnknown, "envelope.payload_type",
        std::string(evidence::kConfigPayloadType), envelope.payload_type);
  }
  context.purpose = *purpose;
  const absl::Status parsed = ParseStatement(context);
  if (!parsed.ok()) {
    return CheckResult::Fail(reason::kStatementMalformed, "envelope.payload",
                             "a canonical statement of its type", Text(parsed));
  }
  if (context.statement.header.version != evidence::kStatementVersion) {
    return CheckResult::Fail(reason::kStatementVersion,
                             "statement.header.version",
                             std::to_string(evidence::kStatementVersion),
                             std::to_string(context.statement.header.version));
  }
  return CheckResult::Pass();
}

CheckResult CheckKnownOnce(const std::vector<std::string>& algorithms,
                           std::string_view where) {
  std::set<std::string_view> seen;
  std::string_view seen_pq;
  for (const std::string& algorithm : algorithms) {
    const bool pq =
        algorithm == kMlDsa65Algorithm || algorithm == kMlDsa87Algorithm;
    if (!pq && algorithm != kTpmQuoteAlgorithm) {
      return CheckResult::Fail(
          reason::kSignatureUnknown, std::string(where),
          fmt::format("{}, {} or {}", kTpmQuoteAlgorithm, kMlDsa65Algorithm,
                      kMlDsa87Algorithm),
          algorithm);
    }
    if (pq && !seen_pq.empty() && seen_pq != algorithm) {
      return CheckResult::Fail(
          reason::kSignatureDuplicate, std::string(where),
          fmt::format("{} or {}", kMlDsa65Algorithm, kMlDsa87Algorithm),
          "both");
    }
    if (pq) {
      seen_pq = algorithm;
    }
    if (!seen.insert(algorithm).second) {
      return CheckResult::Fail(reason::kSignatureDuplicate, std::string(where),
                               algorithm + " once", algorithm + " twice");
    }
  }
  return CheckResult::Pass();
}

bool Holds(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

CheckResult CompareSignatures(const std::vector<std::string>& listed,
                              const std::vector<std::string>& present) {
  for (const std::string& algorithm : listed) {
    if (!Holds(present, algorithm)) {
      return CheckResult::Fail(reason::kSignatureMissing, "envelope.signatures",
                               algorithm,
                               fmt::format("{}", fmt::join(present, ", ")));
    }
  }
  for (const std::string& algorithm : present) {
    if (!Holds(listed, algorithm)) {
      return CheckResult::Fail(
          reason::kSignatureUnlisted, "envelope.signatures",
          fmt::format("{}", fmt::join(listed, ", ")), algorithm);
    }
  }
  if (listed != present) {
    return CheckResult::Fail(reason::kSignatureOrder, "envelope.signatures",
                             fmt::format("{}", fmt::join(listed, ", ")),
                             fmt::format("{}", fmt::join(present, ", ")));
  }
  return CheckResult::Pass();
}

CheckResult CheckSignatureSet(const Context& context) {
  std::vector<std::string> present;
  for (const evidence::Signature& signature :
       context.evidence.envelope.signatures) {
    present.push_back(signature.algorithm);
  }
  const std::vector<std::string>& listed =
      context.statement.header.signature_algorithms;
  for (const CheckResult& result :
       {CheckKnownOnce(present, "envelope.signatures"),
        CheckKnownOnce(listed, "statement.header.signature_algorithms"),
        CompareSignatures(listed, present)}) {
    if (!result.passed()) {
      return result;
    }
  }
  std::vector<std::string> required = context.policy.required_signatures;
  // Without the quote there is nothing that this library could believe.
  required.emplace_back(kTpmQuoteAlgorithm);
  for (const std::string& algorithm : required) {
    if (!Holds(present, algorithm)) {
      return CheckResult::Fail(reason::kSignatureRequired,
                               "envelope.signatures", algorithm,
                               fmt::format("{}", fmt::join(present, ", ")));
    }
  }
  for (const evidence::Signature& signature :
       context.evidence.envelope.signatures) {
    const bool quote =
        std::holds_alternative<evidence::TpmQuoteSignature>(signature.body);
    if (quote != (signature.algorithm == kTpmQuoteAlgorithm)) {
      return CheckResult::Fail(reason::kSignatureBody, signature.algorithm,
                               quote ? "raw" : "tpm_quote",
                               quote ? "tpm_quote" : "raw");
    }
  }
  return CheckResult::Pass();
}

CheckResult ParseQuote(Context& context) {
  for (const evidence::Signature& signature :
       context.evidence.envelope.signatures) {
    if (const auto* quote =
            std::get_if<evidence::TpmQuoteSignature>(&signature.body)) {
      context.quote = quote;
    } else {
      context.pq = &signature;
    }
  }
  absl::StatusOr<evidence::Attest> attest =
      evidence::ParseAttest(context.quote->quoted);
  if (!attest.ok()) {
    return CheckResult::Fail(reason::kQuoteMalformed, "tpm2-quote.quoted",
                             "TPMS_ATTEST", Text(attest.status()));
  }
  context.attest = *std::move(attest);
  absl::StatusOr<evidence::EcdsaSignature> signature =
      evidence::ParseEcdsaSignature(context.quote->signature);
  if (!signature.ok()) {
    return CheckResult::Fail(reason::kQuoteSignatureMalformed,
                             "tpm2-quote.signature", "an ECDSA TPMT_SIGNATURE",
                             Text(signature.status()));
  }
  context.quote_signature = *std::move(signature);
  return CheckResult::Pass();
}

CheckResult FindKey(Context& context) {
  const Bytes& wanted = context.quote->key_name;
  for (const evidence::KeyCertification& key : context.evidence.keys) {
    absl::StatusOr<evidence::EccPublicArea> area =
        evidence::ParseEccPublic(key.public_area);
    if (!area.ok()) {
      return CheckResult::Fail(
          reason::kKeyMalformed, fmt::format("key {}", ToString(key.purpose)),
          "TPM2B_PUBLIC of an ECC key", Text(area.status()));
    }
    if (area->name != wanted || context.certification != nullptr) {
      return CheckResult::Fail(reason::kKeyUnused, "keys",
                               "only " + ToHex(wanted) + ", once",
                               ToHex(area->name));
    }
    context.certification = &key;
    context.purpose_key = *std::move(area);
  }
  if (context.certification == nullptr) {
    return CheckResult::Fail(reason::kKeyMissing, "keys", ToHex(wanted),
                             "no key");
  }
  return CheckResult::Pass();
}

CheckResult ParseDisclosureFile(ByteView bytes, Context& context) {
  absl::StatusOr<evidence::Disclosure> parsed = wire::ParseDisclosure(bytes);
  if (!parsed.ok()) {
    return CheckResult::Fail(reason::kDisclosureMalformed, "disclosure file",
                             "vmattest/disclosure/v1, canonical",
                             Text(parsed.status()));
  }
  context.evidence.envelope = std::move(parsed->envelope);
  context.evidence.keys = std::move(parsed->keys);
  context.disclosed = std::move(parsed->leaves);
  return CheckResult::Pass();
}

CheckResult ParseFile(ByteView bytes, Context& context) {
  if (context.disclosed) {
    return ParseDisclosureFile(bytes, context);
  }
  absl::StatusOr<evidence::Evidence> parsed = wire::ParseEvidence(bytes);
  if (!parsed.ok()) {
    return CheckResult::Fail(reason::kEvidenceMalformed, "evidence file",
                             "vmattest/evidence/v1, canonical",
                             Text(parsed.status()));
  }
  context.evidence = *std::move(parsed);
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckStructure(ByteView bytes, Context& context) {
  if (CheckResult result = ParseFile(bytes, context); !result.passed()) {
    return result;
  }
  if (CheckResult result = ParsePayload(context); !result.passed()) {
    return result;
  }
  if (CheckResult result = CheckSignatureSet(context); !result.passed()) {
    return result;
  }
  if (CheckResult result = ParseQuote(context); !result.passed()) {
    return result;
  }
  return FindKey(context);
}

}  // namespace vmattest::verifier
