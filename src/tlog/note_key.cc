#include "tlog/note_key.h"

#include <charconv>
#include <utility>

#include "base/base64.h"
#include "crypto/digest.h"
#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "tlog/checkpoint.h"
#include "tlog/utf8.h"

namespace vmattest::tlog {
namespace {

using Check = std::function<bool(ByteView message, ByteView signature)>;

Bytes Sha256(ByteView bytes) { return Hash(HashAlgorithm::kSha256, bytes); }

constexpr size_t kTimestampSize = 8;
constexpr std::string_view kSubtreeLabel("subtree/v1\n\0", 12);

uint32_t KeyId(std::string_view name, NoteKeyType type, ByteView key) {
  ByteWriter writer;
  if (type == NoteKeyType::kEcdsaP256) {
    writer.Raw(key);  // signed-note: of the SPKI alone
  } else {
    writer.Raw(name).U8('\n').U8(static_cast<uint8_t>(type)).Raw(key);
  }
  const Bytes digest = Sha256(writer.bytes());
  return ByteReader(digest).U32();
}

std::string Vkey(std::string_view name, uint32_t key_id, NoteKeyType type,
                 ByteView key) {
  ByteWriter writer;
  writer.U8(static_cast<uint8_t>(type)).Raw(key);
  return fmt::format("{}+{:08x}+{}", name, key_id, ToBase64(writer.bytes()));
}

absl::StatusOr<Check> ImportEcdsa(ByteView spki) {
  ASSIGN_OR_RETURN(const EcPublicKey key, ParseP256Spki(spki));
  ASSIGN_OR_RETURN(const EcVerifier verifier, EcVerifier::Import(key));
  return Check([verifier](ByteView message, ByteView signature) {
    const std::optional<EcdsaParts> parts = ParseEcdsaDer(signature);
    return parts && verifier.Verify(Sha256(message), parts->r, parts->s);
  });
}

absl::StatusOr<Check> ImportEd25519(ByteView bytes) {
  ASSIGN_OR_RETURN(const Ed25519PublicKey key, Ed25519PublicKey::Parse(bytes));
  return Check([key](ByteView message, ByteView signature) {
    return key.Verify(message, signature);
  });
}

absl::StatusOr<Check> ImportMlDsa(ByteView bytes) {
  ASSIGN_OR_RETURN(const MlDsaPublicKey key,
                   MlDsaPublicKey::Parse(MlDsaLevel::k44, bytes));
  return Check([key](ByteView message, ByteView signature) {
    return key.Verify(message, "", signature);
  });
}

absl::StatusOr<Check> Import(NoteKeyType type, ByteView key) {
  switch (type) {
    case NoteKeyType::kEcdsaP256:
      return ImportEcdsa(key);
    case NoteKeyType::kEd25519:
    case NoteKeyType::kEd25519Cosignature:
      return ImportEd25519(key);
    case NoteKeyType::kMlDsa44Cosignature:
      return ImportMlDsa(key);
  }
  return absl::InvalidArgumentError(fmt::format(
      "verifier key of the unknown type 0x{:02x}", static_cast<int>(type)));
}

// What a cosigner signs: tlog-cosignature, "Ed25519 signed message" and
// "ML-DSA-44 signed message". Empty if `text` is no checkpoint.
Bytes CosignedMessage(NoteKeyType type, std::string_view name,
                      std::string_view text, uint64_t time) {
  ByteWriter writer;
  if (type == NoteKeyType::kEd25519Cosignature) {
    writer.Raw(fmt::format("cosignature/v1\ntime {}\n", time)).Raw(text);
    return std::move(writer).Take();
  }
  const absl::StatusOr<Checkpoint> checkpoint = ParseCheckpoint(text);
  if (!checkpoint.ok() || name.size() > 255 ||
      checkpoint->origin.size() > 255) {
    return {};
  }
  writer.Raw(kSubtreeLabel)
      .U8(static_cast<uint8_t>(name.size()))
      .Raw(name)
      .U64(time)
      .U8(static_cast<uint8_t>(checkpoint->origin.size()))
      .Raw(checkpoint->origin)
      .U64(0)
      .U64(checkpoint->size)
      .Raw(checkpoint->root);
  return std::move(writer).Take();
}

class Signer final : public NoteSigner {
 public:
  using Make = std::function<absl::StatusOr<Bytes>(ByteView message)>;
  static absl::StatusOr<std::unique_ptr<NoteSigner>> New(std::string name,
                                                         NoteKeyType type,
                                                         const Bytes& key,
                                                         Make make) {
    if (!IsKeyName(name)) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' is no name of a note's key", name));
    }
    return std::unique_ptr<NoteSigner>(
        new Signer(std::move(name), type, key, std::move(make)));
  }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] uint32_t key_id() const override { return key_id_; }
  [[nodiscard]] std::string vkey() const override { return vkey_; }

  absl::StatusOr<Bytes> Sign(std::string_view text,
                             int64_t time_unix_s) override {
    if (!IsCosignature(type_)) {
      return make_(AsBytes(text));
    }
    const Bytes message =
        CosignedMessage(type_, name_, text, static_cast<uint64_t>(time_unix_s));
    if (message.empty() || !ParseCheckpoint(text).ok()) {
      return absl::InvalidArgumentError("cosigning what is no checkpoint");
    }
    ASSIGN_OR_RETURN(const Bytes signature, make_(message));
    ByteWriter writer;
    writer.U64(static_cast<uint64_t>(time_unix_s)).Raw(signature);
    return std::move(writer).Take();
  }

 private:
  Signer(std::string name, NoteKeyType type, const Bytes& key, Make make)
      : name_(std::move(name)),
        type_(type),
        key_id_(KeyId(name_, type, key)),
        vkey_(Vkey(name_, key_id_, type, key)),
        make_(std::move(make)) {}

  const std::string name_;
  const NoteKeyType type_;
  const uint32_t key_id_;
  const std::string vkey_;
  const Make make_;
};

}  // namespace

bool IsKeyName(std::string_view name) {
  return !name.empty() && name.find('+') == std::string_view::npos &&
         IsUtf8WithoutSpaces(name);
}

absl::StatusOr<NoteVerifier> NoteVerifier::Parse(std::string_view vkey) {
  const size_t first = vkey.find('+');
  const size_t second =
      first == std::string_view::npos ? first : vkey.find('+', first + 1);
  if (second == std::string_view::npos || second - first != 9) {
    return absl::InvalidArgumentError("a verifier key is NAME+KEYID+KEY");
  }
  NoteVerifier verifier;
  verifier.name_ = vkey.substr(0, first);
  const std::string_view hex = vkey.substr(first + 1, 8);
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(),
                                            verifier.key_id_, 16);
  ASSIGN_OR_RETURN_WITH(const Bytes key, ParseBase64(vkey.substr(second + 1)),
                        "verifier key");
  if (error != std::errc() || end != hex.data() + hex.size() ||
      !IsKeyName(verifier.name_) || key.size() < 2) {
    return absl::InvalidArgumentError("a verifier key is NAME+KEYID+KEY");
  }
  verifier.type_ = static_cast<NoteKeyType>(key[0]);
  verifier.public_key_.assign(key.begin() + 1, key.end());
  ASSIGN_OR_RETURN_WITH(verifier.verify_,
                        Import(verifier.type_, verifier.public_key_),
                        verifier.name_);
  if (KeyId(verifier.name_, verifier.type_, verifier.public_key_) !=
      verifier.key_id_) {
    return absl::InvalidArgumentError(fmt::format(
        "the key id of the verifier key '{}' is not that of its key",
        verifier.name_));
  }
  return verifier;
}

std::string NoteVerifier::vkey() const {
  return Vkey(name_, key_id_, type_, public_key_);
}

std::optional<int64_t> NoteVerifier::Verify(std::string_view text,
                                            ByteView signature) const {
  if (!IsCosignature(type_)) {
    return verify_(AsBytes(text), signature) ? std::optional<int64_t>(0)
                                             : std::nullopt;
  }
  ByteReader reader(signature);
  const uint64_t time = reader.U64();
  if (!reader.ok() || time > INT64_MAX) {
    return std::nullopt;
  }
  const Bytes message = CosignedMessage(type_, name_, text, time);
  if (message.empty() || !verify_(message, signature.subspan(kTimestampSize))) {
    return std::nullopt;
  }
  return static_cast<int64_t>(time);
}

absl::StatusOr<std::unique_ptr<NoteSigner>> EcdsaNoteSigner(
    std::string name, std::shared_ptr<const EcPrivateKey> key) {
  ASSIGN_OR_RETURN(const Bytes spki, EncodeSpki(key->public_key()));
  return Signer::New(std::move(name), NoteKeyType::kEcdsaP256, spki,
                     [key](ByteView message) -> absl::StatusOr<Bytes> {
                       const EcPrivateKey::Signature signature =
                           key->SignDigest(Sha256(message));
                       return EncodeEcdsaDer(signature.r, signature.s);
                     });
}

absl::StatusOr<std::unique_ptr<NoteSigner>> Ed25519NoteSigner(
    std::string name, NoteKeyType type, Ed25519PrivateKey key) {
  const Bytes public_key = key.public_key();
  return Signer::New(
      std::move(name), type, public_key,
      [key = std::move(key)](ByteView message) -> absl::StatusOr<Bytes> {
        return key.Sign(message);
      });
}

absl::StatusOr<std::unique_ptr<NoteSigner>> MlDsaNoteSigner(std::string name,
                                                            MlDsaKey key) {
  const Bytes public_key = key.public_key();
  return Signer::New(
      std::move(name), NoteKeyType::kMlDsa44Cosignature, public_key,
      [key = std::move(key)](ByteView message) -> absl::StatusOr<Bytes> {
        return key.Sign(message, "");
      });
}

}  // namespace vmattest::tlog
