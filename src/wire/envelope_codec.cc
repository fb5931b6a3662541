#include <fmt/format.h>

#include <limits>
#include <optional>

#include "wire/messages.h"

namespace vmattest::wire {
namespace {

constexpr int kMaxSignatures = 8;
constexpr int kMaxBanks = 4;
constexpr int kMaxPcrs = 32;
constexpr int kMaxPath = 64;

std::optional<LeafType> ParseLeafType(std::string_view name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(LeafType::kTree); ++i) {
    if (name == ToString(static_cast<LeafType>(i))) {
      return static_cast<LeafType>(i);
    }
  }
  return std::nullopt;
}

v1::TpmQuoteSignature ToMessage(const evidence::TpmQuoteSignature& quote) {
  v1::TpmQuoteSignature message;
  message.set_key_name(ToField(quote.key_name));
  message.set_quoted(ToField(quote.quoted));
  message.set_signature(ToField(quote.signature));
  for (const PcrValues& bank : quote.pcr_banks) {
    v1::PcrBank& added = *message.add_pcr_banks();
    added.set_bank(bank.bank);
    for (const auto& [index, value] : bank.values) {
      v1::PcrValue& pcr = *added.add_values();
      pcr.set_index(index);
      pcr.set_value(ToField(value));
    }
  }
  v1::BatchProof& batch = *message.mutable_batch();
  batch.set_index(quote.batch.index);
  batch.set_size(quote.batch.size);
  for (const DigestBytes& sibling : quote.batch.path) {
    batch.add_path(ToField(sibling));
  }
  return message;
}

absl::StatusOr<PcrValues> ValuesOf(const v1::PcrBank& message) {
  RETURN_IF_ERROR(
      CheckCount("PcrBank.values", message.values_size(), kMaxPcrs));
  if (message.bank() > std::numeric_limits<uint16_t>::max()) {
    return Malformed("PcrBank.bank",
                     fmt::format("{} is no TPM_ALG_ID", message.bank()));
  }
  PcrValues bank;
  bank.bank = static_cast<uint16_t>(message.bank());
  for (const v1::PcrValue& pcr : message.values()) {
    if (!bank.values.empty() && bank.values.rbegin()->first >= pcr.index()) {
      return Malformed(
          "PcrBank.values",
          fmt::format("PCR {} is repeated or out of order", pcr.index()));
    }
    bank.values.emplace(pcr.index(), FromField(pcr.value()));
  }
  return bank;
}

absl::StatusOr<evidence::TpmQuoteSignature> QuoteOf(
    const v1::TpmQuoteSignature& message) {
  RETURN_IF_ERROR(CheckCount("TpmQuoteSignature.pcr_banks",
                             message.pcr_banks_size(), kMaxBanks));
  RETURN_IF_ERROR(
      CheckCount("BatchProof.path", message.batch().path_size(), kMaxPath));
  evidence::TpmQuoteSignature quote;
  quote.key_name = FromField(message.key_name());
  quote.quoted = FromField(message.quoted());
  quote.signature = FromField(message.signature());
  for (const v1::PcrBank& bank : message.pcr_banks()) {
    ASSIGN_OR_RETURN(PcrValues values, ValuesOf(bank));
    quote.pcr_banks.push_back(std::move(values));
  }
  quote.batch.index = message.batch().index();
  quote.batch.size = message.batch().size();
  for (const std::string& sibling : message.batch().path()) {
    quote.batch.path.push_back(FromField(sibling));
  }
  return quote;
}

}  // namespace

absl::Status CheckCount(std::string_view element, size_t found, size_t most) {
  if (found > most) {
    return Malformed(element, fmt::format("{} elements, at most {} are allowed",
                                          found, most));
  }
  return absl::OkStatus();
}

v1::Envelope ToMessage(const evidence::Envelope& envelope) {
  v1::Envelope message;
  message.set_payload_type(envelope.payload_type);
  message.set_payload(ToField(envelope.payload));
  for (const evidence::Signature& signature : envelope.signatures) {
    v1::Signature& added = *message.add_signatures();
    added.set_algorithm(signature.algorithm);
    if (const auto* quote =
            std::get_if<evidence::TpmQuoteSignature>(&signature.body)) {
      *added.mutable_tpm_quote() = ToMessage(*quote);
    } else {
      const auto& raw = std::get<evidence::RawSignature>(signature.body);
      added.mutable_raw()->set_key_id(ToField(raw.key_id));
      added.mutable_raw()->set_signature(ToField(raw.signature));
    }
  }
  return message;
}

absl::StatusOr<evidence::Envelope> FromMessage(const v1::Envelope& message) {
  RETURN_IF_ERROR(CheckCount("Envelope.signatures", message.signatures_size(),
                             kMaxSignatures));
  evidence::Envelope envelope;
  envelope.payload_type = message.payload_type();
  envelope.payload = FromField(message.payload());
  for (const v1::Signature& signature : message.signatures()) {
    evidence::Signature added{.algorithm = signature.algorithm(), .body = {}};
    switch (signature.body_case()) {
      case v1::Signature::kTpmQuote: {
        ASSIGN_OR_RETURN(added.body, QuoteOf(signature.tpm_quote()));
        break;
      }
      case v1::Signature::kRaw:
        added.body =
            evidence::RawSignature{FromField(signature.raw().key_id()),
                                   FromField(signature.raw().signature())};
        break;
      case v1::Signature::BODY_NOT_SET:
        return Malformed("Signature.body", "missing");
    }
    envelope.signatures.push_back(std::move(added));
  }
  return envelope;
}

v1::ConfigLeaf ToMessage(const ConfigLeaf& leaf) {
  v1::ConfigLeaf message;
  message.set_path(leaf.path);
  message.set_type(std::string(ToString(leaf.type)));
  message.set_value(leaf.value);
  return message;
}

absl::StatusOr<ConfigLeaf> FromMessage(const v1::ConfigLeaf& message) {
  const std::optional<LeafType> type = ParseLeafType(message.type());
  if (!type) {
    return Malformed("ConfigLeaf.type",
                     fmt::format("'{}' of leaf '{}' is unknown", message.type(),
                                 message.path()));
  }
  return ConfigLeaf{message.path(), *type, message.value()};
}

}  // namespace vmattest::wire
