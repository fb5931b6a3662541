#include <fmt/format.h>

#include <algorithm>

#include "crypto/digest.h"
#include "document/document.h"
#include "document/flat_json.h"
#include "document/private_key.h"

namespace vmattest::document {
namespace {

constexpr std::string_view kPublicFormat = "vmattest/public-key/v1";
constexpr std::string_view kPrivateFormat = "vmattest/private-key/v1";
constexpr std::string_view kKeyIdTag = "vmattest/document-key/v1";
constexpr std::string_view kEcField = "ecdsa_p256";
constexpr size_t kMaxName = 128;
constexpr size_t kCoordinateSize = 32;

// "ml_dsa_65": the algorithm's name as a JSON member's.
std::string PqField(MlDsaLevel level) {
  std::string name(ToString(level));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

absl::Status CheckName(std::string_view name) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
  });
  if (name.empty() || name.size() > kMaxName || !printable) {
    return absl::InvalidArgumentError(
        fmt::format("name: 1 to {} characters without white space", kMaxName));
  }
  return absl::OkStatus();
}

Bytes KeyId(const EcPublicKey& ec, ByteView pq_bytes) {
  ByteWriter writer;
  writer.Raw(kKeyIdTag).U8(0).U8(0x04);
  for (const Bytes* coordinate : {&ec.x, &ec.y}) {
    for (size_t i = coordinate->size(); i < kCoordinateSize; ++i) {
      writer.U8(0);
    }
    writer.Raw(*coordinate);
  }
  writer.Raw(pq_bytes);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

// Takes members out one by one; what is left at the end is unknown.
class Members {
 public:
  explicit Members(FlatJson members) : members_(std::move(members)) {}

  std::optional<SecretBytes> Take(std::string_view name) {
    const auto found = members_.find(name);
    if (found == members_.end()) {
      return std::nullopt;
    }
    SecretBytes value = std::move(found->second);
    members_.erase(found);
    return value;
  }
  std::string TakeText(std::string_view name) {
    const std::optional<SecretBytes> value = Take(name);
    return value ? std::string(AsText(value->Reveal(SecretAccess()))) : "";
  }
  absl::Status CheckFormat(std::string_view format) {
    if (const std::string found = TakeText("format"); found != format) {
      return absl::InvalidArgumentError(
          fmt::format("format: '{}', expected '{}'", found, format));
    }
    return absl::OkStatus();
  }
  [[nodiscard]] absl::Status CheckEmpty() const {
    if (!members_.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("unknown member '{}'", members_.begin()->first));
    }
    return absl::OkStatus();
  }

 private:
  FlatJson members_;
};

// The member of some level, if there is one. INVALID_ARGUMENT: not
// `size(level)` bytes of hexadecimal.
struct PqMember {
  MlDsaLevel level;
  SecretBytes bytes;
};
absl::StatusOr<std::optional<PqMember>> TakePq(Members& members,
                                               size_t (*size)(MlDsaLevel)) {
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    const std::optional<SecretBytes> hex = members.Take(PqField(level));
    if (!hex) {
      continue;
    }
    absl::StatusOr<Bytes> bytes = ParseHex(AsText(hex->Reveal(SecretAccess())));
    if (!bytes.ok() || bytes->size() != size(level)) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: not {} bytes of hexadecimal", PqField(level), size(level)));
    }
    return PqMember{level, SecretBytes(*std::move(bytes))};
  }
  return std::nullopt;
}

absl::Status SetPq(MlDsaLevel level, ByteView bytes, PublicKey& key) {
  key.pq_bytes = ToBytes(bytes);
  absl::StatusOr<MlDsaPublicKey> pq = MlDsaPublicKey::Parse(level, bytes);
  if (pq.ok()) {
    key.pq = *std::move(pq);
  } else if (!absl::IsUnavailable(pq.status())) {
    return pq.status();
  }
  return absl::OkStatus();
}

// PEM with its line ends escaped, as JSON wants them.
void AppendEscaped(ByteView pem, Bytes& out) {
  for (const uint8_t c : pem) {
    if (c == '\n') {
      out.push_back('\\');
      out.push_back('n');
    } else {
      out.push_back(c);
    }
  }
}

}  // namespace

absl::StatusOr<PublicKey> ParsePublicKey(std::string_view json) {
  ASSIGN_OR_RETURN(FlatJson parsed, ParseFlatJson(AsBytes(json)));
  Members members(std::move(parsed));
  RETURN_IF_ERROR(members.CheckFormat(kPublicFormat));
  PublicKey key;
  key.name = members.TakeText("name");
  RETURN_IF_ERROR(CheckName(key.name));
  ASSIGN_OR_RETURN_WITH(key.ec, ParseP256Pem(members.TakeText(kEcField)),
                        kEcField);
  ASSIGN_OR_RETURN(std::optional<PqMember> pq,
                   TakePq(members, MlDsaPublicKeySize));
  if (pq) {
    RETURN_IF_ERROR(SetPq(pq->level, pq->bytes.Reveal(SecretAccess()), key));
  }
  key.key_id = KeyId(key.ec, key.pq_bytes);
  if (members.TakeText("key_id") != ToHex(key.key_id)) {
    return absl::InvalidArgumentError("key_id: not that of these keys");
  }
  RETURN_IF_ERROR(members.CheckEmpty());
  return key;
}

std::string PublicKeyToJson(const PublicKey& key) {
  // Fails only for a point that is none, which no parsed key holds; the empty
  // text is refused by whoever reads it.
  const absl::StatusOr<std::string> pem = ToPem(key.ec);
  std::string json =
      fmt::format("{{\n  \"format\": \"{}\",\n  \"name\": {},\n  \"{}\": {},\n",
                  kPublicFormat, JsonString(key.name), kEcField,
                  JsonString(pem.ok() ? *pem : ""));
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (key.pq_bytes.size() == MlDsaPublicKeySize(level)) {
      json += fmt::format("  \"{}\": \"{}\",\n", PqField(level),
                          ToHex(key.pq_bytes));
    }
  }
  return json + fmt::format("  \"key_id\": \"{}\"\n}}\n", ToHex(key.key_id));
}

PrivateKey::PrivateKey(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
PrivateKey::PrivateKey(PrivateKey&&) noexcept = default;
PrivateKey& PrivateKey::operator=(PrivateKey&&) noexcept = default;
PrivateKey::~PrivateKey() = default;

absl::StatusOr<std::unique_ptr<PrivateKey::Keys>> PrivateKey::Keys::Make(
    std::string name, EcPrivateKey ec,
    std::optional<std::pair<MlDsaLevel, SecretBytes>> pq) {
  RETURN_IF_ERROR(CheckName(name));
  auto keys = std::make_unique<Keys>(Keys{.ec = std::move(ec)});
  keys->shown.name = std::move(name);
  keys->shown.ec = keys->ec.public_key();
  if (pq) {
    ASSIGN_OR_RETURN(keys->pq, MlDsaKey::FromSeed(pq->first, pq->second));
    keys->seed = std::move(pq->second);
    RETURN_IF_ERROR(SetPq(pq->first, keys->pq->public_key(), keys->shown));
  }
  keys->shown.key_id = KeyId(keys->shown.ec, keys->shown.pq_bytes);
  return keys;
}

absl::StatusOr<PrivateKey> PrivateKey::Generate(
    std::string name, std::optional<MlDsaLevel> level) {
  std::optional<std::pair<MlDsaLevel, SecretBytes>> pq;
  if (level) {
    ASSIGN_OR_RETURN(SecretBytes seed, MakeSecret(kMlDsaSeedSize));
    pq.emplace(*level, std::move(seed));
  }
  ASSIGN_OR_RETURN(
      std::unique_ptr<Keys> keys,
      Keys::Make(std::move(name), EcPrivateKey::Generate(), std::move(pq)));
  return PrivateKey(std::move(keys));
}

absl::StatusOr<PrivateKey> PrivateKey::Parse(const SecretBytes& file) {
  ASSIGN_OR_RETURN(FlatJson parsed, ParseFlatJson(file.Reveal(SecretAccess())));
  Members members(std::move(parsed));
  RETURN_IF_ERROR(members.CheckFormat(kPrivateFormat));
  std::string name = members.TakeText("name");
  const SecretBytes pem = members.Take(kEcField).value_or(SecretBytes());
  ASSIGN_OR_RETURN_WITH(EcPrivateKey ec, EcPrivateKey::FromPem(pem), kEcField);
  ASSIGN_OR_RETURN(std::optional<PqMember> seed,
                   TakePq(members, [](MlDsaLevel) { return kMlDsaSeedSize; }));
  RETURN_IF_ERROR(members.CheckEmpty());
  std::optional<std::pair<MlDsaLevel, SecretBytes>> pq;
  if (seed) {
    pq.emplace(seed->level, std::move(seed->bytes));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Keys> keys,
                   Keys::Make(std::move(name), std::move(ec), std::move(pq)));
  return PrivateKey(std::move(keys));
}

SecretBytes PrivateKey::ToFile() const {
  const SecretBytes pem = keys_->ec.ToPem();
  Bytes file = ToBytes(
      fmt::format("{{\n  \"format\": \"{}\",\n  \"name\": {},\n  \"{}\": \"",
                  kPrivateFormat, JsonString(keys_->shown.name), kEcField));
  // Grown once, so that no copy of the secret is left behind.
  file.reserve(file.size() + 2 * pem.size() + 4 * kMlDsaSeedSize + 64);
  const auto append = [&file](std::string_view text) {
    file.insert(file.end(), text.begin(), text.end());
  };
  AppendEscaped(pem.Reveal(SecretAccess()), file);
  append("\"");
  if (keys_->pq) {
    append(fmt::format(",\n  \"{}\": \"", PqField(keys_->pq->level())));
    for (const uint8_t byte : keys_->seed.Reveal(SecretAccess())) {
      file.push_back(static_cast<uint8_t>("0123456789abcdef"[byte >> 4]));
      file.push_back(static_cast<uint8_t>("0123456789abcdef"[byte & 15]));
    }
    append("\"");
  }
  append("\n}\n");
  return SecretBytes(std::move(file));
}

const PublicKey& PrivateKey::public_key() const { return keys_->shown; }

std::vector<std::string> PrivateKey::algorithms() const {
  return AlgorithmsOf(keys_->shown);
}

}  // namespace vmattest::document
