#include "document/document.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <algorithm>

#include "crypto/digest.h"
#include "document/private_key.h"
#include "document/reason_codes.h"
#include "evidence/envelope.h"
#include "vmattest/v1/document.pb.h"
#include "wire/messages.h"

namespace vmattest::document {
namespace {

constexpr std::string_view kFormat = "vmattest/document/v1";
constexpr std::string_view kMlDsaContext = "vmattest/document/v1";
constexpr uint32_t kHeaderTag = 0x0A;  // field 1, length-delimited
constexpr size_t kCoordinateSize = 32;
constexpr size_t kEcdsaSize = 2 * kCoordinateSize;

v1::SignedDocument ToMessage(const evidence::Envelope& envelope) {
  v1::SignedDocument message;
  message.set_format(std::string(kFormat));
  *message.mutable_envelope() = wire::ToMessage(envelope);
  return message;
}

absl::StatusOr<evidence::Envelope> ParseFile(ByteView file) {
  v1::SignedDocument message;
  RETURN_IF_ERROR(
      wire::ParseMessage(file, kMaxDocumentSize, "SignedDocument", message));
  if (message.format() != kFormat) {
    return wire::Malformed(
        "SignedDocument.format",
        fmt::format("'{}', expected '{}'", message.format(), kFormat));
  }
  ASSIGN_OR_RETURN(evidence::Envelope envelope,
                   wire::FromMessage(message.envelope()));
  RETURN_IF_ERROR(wire::CheckCanonical(
      file, wire::Serialize(ToMessage(envelope)), "SignedDocument"));
  return envelope;
}

// Every document's first field is its header.
absl::StatusOr<std::vector<std::string>> AlgorithmsInHeader(ByteView payload) {
  google::protobuf::io::CodedInputStream stream(
      payload.data(), static_cast<int>(payload.size()));
  uint32_t size = 0;
  if (stream.ReadTag() != kHeaderTag || !stream.ReadVarint32(&size) ||
      size > payload.size() - static_cast<size_t>(stream.CurrentPosition())) {
    return wire::Malformed("DocumentHeader", "missing");
  }
  v1::DocumentHeader header;
  RETURN_IF_ERROR(wire::ParseMessage(
      payload.subspan(static_cast<size_t>(stream.CurrentPosition()), size),
      kMaxDocumentSize, "DocumentHeader", header));
  return std::vector<std::string>(header.signature_algorithms().begin(),
                                  header.signature_algorithms().end());
}

std::string Joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

using Check = std::optional<Reason>;

Check CheckSigner(const evidence::Envelope& envelope,
                  std::span<const PublicKey> keys, const PublicKey** signer) {
  if (envelope.signatures.empty()) {
    return Reason{std::string(reason::kSignatureMissing), "signatures", "",
                  "none"};
  }
  const auto* raw =
      std::get_if<evidence::RawSignature>(&envelope.signatures.front().body);
  if (raw == nullptr) {
    return Reason{std::string(reason::kSignature), "signatures[0]",
                  "a raw signature", envelope.signatures.front().algorithm};
  }
  const auto known = std::find_if(
      keys.begin(), keys.end(),
      [raw](const PublicKey& key) { return key.key_id == raw->key_id; });
  if (known == keys.end()) {
    return Reason{std::string(reason::kSignerUnknown), "signatures[0].key_id",
                  "a key that may sign such a document", ToHex(raw->key_id)};
  }
  *signer = &*known;
  return std::nullopt;
}

// All of the key's algorithms, once each, in order, under one key id.
Check CheckSet(const evidence::Envelope& envelope, const PublicKey& signer) {
  const std::vector<std::string> expected = AlgorithmsOf(signer);
  std::vector<std::string> found;
  for (const evidence::Signature& signature : envelope.signatures) {
    found.push_back(signature.algorithm);
    const auto* raw = std::get_if<evidence::RawSignature>(&signature.body);
    if (raw == nullptr || raw->key_id != signer.key_id) {
      return Reason{std::string(reason::kSignature),
                    fmt::format("the {} signature's key", signature.algorithm),
                    ToHex(signer.key_id),
                    raw == nullptr ? "none" : ToHex(raw->key_id)};
    }
  }
  for (const std::string& algorithm : expected) {
    if (std::find(found.begin(), found.end(), algorithm) == found.end()) {
      return Reason{std::string(reason::kSignatureMissing), algorithm,
                    Joined(expected), Joined(found)};
    }
  }
  if (found != expected) {
    return Reason{std::string(reason::kSignature), "signatures",
                  Joined(expected), Joined(found)};
  }
  return std::nullopt;
}

Check CheckSignatures(const evidence::Envelope& envelope,
                      const PublicKey& signer) {
  const Bytes pae =
      evidence::PreAuthEncoding(envelope.payload_type, envelope.payload);
  const auto bytes = [&envelope](size_t i) -> ByteView {
    return std::get<evidence::RawSignature>(envelope.signatures[i].body)
        .signature;
  };
  const std::string who = fmt::format("a signature by {}", signer.name);
  const ByteView ec = bytes(0);
  if (ec.size() != kEcdsaSize ||
      !VerifyEcdsa(signer.ec, Hash(HashAlgorithm::kSha256, pae),
                   ec.first(kCoordinateSize), ec.subspan(kCoordinateSize))) {
    return Reason{std::string(reason::kSignature),
                  envelope.signatures[0].algorithm, who, "does not verify"};
  }
  if (signer.pq_bytes.empty()) {
    return std::nullopt;
  }
  if (!signer.pq) {
    return Reason{std::string(reason::kPqUnchecked),
                  envelope.signatures[1].algorithm, "checked",
                  "no ML-DSA in this process"};
  }
  if (!signer.pq->Verify(pae, kMlDsaContext, bytes(1))) {
    return Reason{std::string(reason::kSignature),
                  envelope.signatures[1].algorithm, who, "does not verify"};
  }
  return std::nullopt;
}

// The signed word about what signed, so that it cannot be taken away.
Check CheckHeader(const evidence::Envelope& envelope, const PublicKey& signer) {
  const absl::StatusOr<std::vector<std::string>> named =
      AlgorithmsInHeader(envelope.payload);
  if (!named.ok()) {
    return Reason{std::string(reason::kMalformed), "payload",
                  "a document header", std::string(named.status().message())};
  }
  if (*named != AlgorithmsOf(signer)) {
    return Reason{std::string(reason::kSignatureMissing),
                  "header.signature_algorithms", Joined(*named),
                  Joined(AlgorithmsOf(signer))};
  }
  return std::nullopt;
}

Opened Refused(Reason reason) {
  Opened opened;
  opened.verdict.reasons.push_back(std::move(reason));
  return opened;
}

}  // namespace

std::vector<std::string> AlgorithmsOf(const PublicKey& key) {
  std::vector<std::string> names{std::string(kEcdsaP256Algorithm)};
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (key.pq_bytes.size() == MlDsaPublicKeySize(level)) {
      names.emplace_back(ToString(level));
    }
  }
  return names;
}

absl::StatusOr<Bytes> PrivateKey::Sign(std::string_view payload_type,
                                       ByteView payload) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> named,
                   AlgorithmsInHeader(payload));
  if (named != algorithms()) {
    return wire::Malformed("DocumentHeader.signature_algorithms",
                           fmt::format("'{}', but '{}' sign", Joined(named),
                                       Joined(algorithms())));
  }
  evidence::Envelope envelope{.payload_type = std::string(payload_type),
                              .payload = ToBytes(payload),
                              .signatures = {}};
  const Bytes pae = evidence::PreAuthEncoding(payload_type, payload);
  const EcPrivateKey::Signature ec =
      keys_->ec.SignDigest(Hash(HashAlgorithm::kSha256, pae));
  ByteWriter ec_bytes;
  ec_bytes.Raw(ec.r).Raw(ec.s);
  const Bytes& key_id = keys_->shown.key_id;
  envelope.signatures.push_back(
      {std::string(kEcdsaP256Algorithm),
       evidence::RawSignature{key_id, std::move(ec_bytes).Take()}});
  if (keys_->pq) {
    ASSIGN_OR_RETURN(Bytes pq, keys_->pq->Sign(pae, kMlDsaContext));
    envelope.signatures.push_back(
        {std::string(ToString(keys_->pq->level())),
         evidence::RawSignature{key_id, std::move(pq)}});
  }
  Bytes file = wire::Serialize(ToMessage(envelope));
  if (file.size() > kMaxDocumentSize) {
    return wire::Malformed("SignedDocument", "too large");
  }
  return file;
}

absl::StatusOr<Unchecked> Peek(ByteView file) {
  ASSIGN_OR_RETURN(evidence::Envelope envelope, ParseFile(file));
  Unchecked unchecked;
  for (const evidence::Signature& signature : envelope.signatures) {
    const auto* raw = std::get_if<evidence::RawSignature>(&signature.body);
    if (raw != nullptr && unchecked.algorithms.empty()) {
      unchecked.key_id = raw->key_id;
    }
    unchecked.algorithms.push_back(signature.algorithm);
  }
  unchecked.payload_type = std::move(envelope.payload_type);
  unchecked.payload = std::move(envelope.payload);
  return unchecked;
}

Opened Open(ByteView file, std::string_view payload_type,
            std::span<const PublicKey> keys) {
  absl::StatusOr<evidence::Envelope> envelope = ParseFile(file);
  if (!envelope.ok()) {
    return Refused({std::string(reason::kMalformed), "document", "",
                    std::string(envelope.status().message())});
  }
  if (envelope->payload_type != payload_type) {
    return Refused({std::string(reason::kType), "payload_type",
                    std::string(payload_type), envelope->payload_type});
  }
  const PublicKey* signer = nullptr;
  if (Check failed = CheckSigner(*envelope, keys, &signer)) {
    return Refused(*std::move(failed));
  }
  for (const auto& check : {CheckSet, CheckSignatures, CheckHeader}) {
    if (Check failed = check(*envelope, *signer)) {
      return Refused(*std::move(failed));
    }
  }
  Opened opened;
  opened.verdict.outcome = Verdict::Outcome::kTrusted;
  opened.payload = std::move(envelope->payload);
  opened.signer = signer;
  return opened;
}

}  // namespace vmattest::document
