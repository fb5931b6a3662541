#include "eventlog/ima_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "crypto/tpm_digest.h"

namespace vmattest::eventlog {
namespace {

constexpr uint32_t kLastPcr = 31;
constexpr size_t kMaxTemplateName = 255;
constexpr size_t kMaxTemplateData = 1u << 20;
constexpr size_t kSha1Size = 20;
constexpr size_t kOldNameSize = 256;  // of the template "ima", padded
constexpr std::string_view kSha1 = "sha1";

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(std::string(what));
}

void AppendU32(Bytes& bytes, size_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<uint8_t>(value >> shift));
  }
}

void AppendField(Bytes& bytes, ByteView field) {
  AppendU32(bytes, field.size());
  bytes.insert(bytes.end(), field.begin(), field.end());
}

// Little-endian, as the kernel wrote it.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  uint32_t U32() {
    uint32_t value = 0;
    const ByteView bytes = Raw(4);
    for (size_t i = bytes.size(); i > 0; --i) {
      value = value << 8 | bytes[i - 1];
    }
    return value;
  }
  ByteView Raw(size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool AtEnd() const { return rest_.empty(); }

 private:
  ByteView rest_;
  bool ok_ = true;
};

absl::Status SetDigest(std::string_view algorithm, ByteView digest,
                       ImaEntry& entry) {
  entry.digest_algorithm = algorithm;
  entry.known_algorithm = ParseTpmDigestName(algorithm);
  if (entry.known_algorithm &&
      TpmDigestSize(*entry.known_algorithm) != digest.size()) {
    return Malformed(
        fmt::format("a digest of {} with {} bytes", algorithm, digest.size()));
  }
  entry.digest = ToBytes(digest);
  return absl::OkStatus();
}

// Templates beside "ima" have the fields d-ng and n-ng and maybe a third.
bool IsFieldTemplate(std::string_view name) {
  return name == "ima-ng" || name == "ima-sig" || name == "ima-buf";
}

void BuildOldTemplate(ImaEntry& entry) {
  entry.template_data = entry.digest;
  entry.template_data.insert(entry.template_data.end(), entry.path.begin(),
                             entry.path.end());
  entry.template_data.resize(entry.digest.size() + kOldNameSize, 0);
}

void BuildFieldTemplate(ImaEntry& entry) {
  Bytes digest = ToBytes(entry.digest_algorithm + ":");
  digest.push_back(0);
  digest.insert(digest.end(), entry.digest.begin(), entry.digest.end());
  AppendField(entry.template_data, digest);
  Bytes path = ToBytes(entry.path);
  path.push_back(0);
  AppendField(entry.template_data, path);
  if (entry.template_name != "ima-ng") {
    AppendField(entry.template_data, entry.extra);
  }
}

std::vector<std::string_view> Split(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t space = line.find(' ');
    words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) {
      return words;
    }
    line.remove_prefix(space + 1);
  }
}

absl::Status ParseAsciiFields(const std::vector<std::string_view>& words,
                              ImaEntry& entry) {
  entry.path = words[4];
  const std::string_view digest = words[3];
  if (entry.template_name == "ima") {
    ASSIGN_OR_RETURN_WITH(const Bytes bytes, ParseHex(digest), "digest");
    RETURN_IF_ERROR(SetDigest(kSha1, bytes, entry));
    if (entry.path.size() > kOldNameSize) {
      return Malformed("the path is too long for the template ima");
    }
    BuildOldTemplate(entry);
    return absl::OkStatus();
  }
  const size_t colon = digest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return Malformed("the digest does not name its algorithm");
  }
  ASSIGN_OR_RETURN_WITH(const Bytes bytes, ParseHex(digest.substr(colon + 1)),
                        "digest");
  RETURN_IF_ERROR(SetDigest(digest.substr(0, colon), bytes, entry));
  if (words.size() > 5) {
    ASSIGN_OR_RETURN_WITH(entry.extra, ParseHex(words[5]), "third field");
  }
  BuildFieldTemplate(entry);
  return absl::OkStatus();
}

absl::StatusOr<ImaEntry> ParseLine(std::string_view line) {
  const std::vector<std::string_view> words = Split(line);
  if (words.size() < 4) {
    return Malformed("fewer than four words");
  }
  ImaEntry entry;
  const auto [end, error] = std::from_chars(
      words[0].data(), words[0].data() + words[0].size(), entry.pcr);
  if (error != std::errc() || end != words[0].data() + words[0].size() ||
      entry.pcr > kLastPcr) {
    return Malformed("the first word is not a PCR");
  }
  ASSIGN_OR_RETURN_WITH(entry.template_hash, ParseHex(words[1]),
                        "template hash");
  if (words[2].size() > kMaxTemplateName) {
    return Malformed("the template's name is too long");
  }
  entry.template_name = words[2];
  if (entry.template_name != "ima" && !IsFieldTemplate(entry.template_name)) {
    return entry;
  }
  const size_t most =
      entry.template_name == "ima-ng" || entry.template_name == "ima" ? 5 : 6;
  if (words.size() < 5 || words.size() > most) {
    return Malformed(fmt::format("{} words in an entry of template {}",
                                 words.size(), entry.template_name));
  }
  RETURN_IF_ERROR(ParseAsciiFields(words, entry));
  return entry;
}

std::optional<uint16_t> BankOfSize(size_t size) {
  for (const uint16_t bank :
       {kTpmAlgIdSha1, kTpmAlgIdSha256, kTpmAlgIdSha384, kTpmAlgIdSha512}) {
    if (TpmDigestSize(bank) == size) {
      return bank;
    }
  }
  return std::nullopt;
}

absl::Status ParseTemplateData(ByteView data, ImaEntry& entry) {
  Reader reader(data);
  const uint32_t digest_size = reader.U32();
  const std::string_view digest = AsText(reader.Raw(digest_size));
  const uint32_t path_size = reader.U32();
  const std::string_view path = AsText(reader.Raw(path_size));
  if (entry.template_name != "ima-ng") {
    const uint32_t extra_size = reader.U32();
    entry.extra = ToBytes(reader.Raw(extra_size));
  }
  const size_t colon = digest.find(std::string_view(":\0", 2));
  if (!reader.ok() || !reader.AtEnd() || colon == std::string_view::npos ||
      !path.ends_with('\0')) {
    return Malformed(
        fmt::format("not the fields of template {}", entry.template_name));
  }
  entry.path = path.substr(0, path.size() - 1);
  return SetDigest(digest.substr(0, colon), AsBytes(digest.substr(colon + 2)),
                   entry);
}

absl::StatusOr<ImaEntry> ReadBinaryEntry(Reader& reader, size_t hash_size) {
  ImaEntry entry;
  entry.pcr = reader.U32();
  entry.template_hash = ToBytes(reader.Raw(hash_size));
  const uint32_t name_size = reader.U32();
  if (reader.ok() && (entry.pcr > kLastPcr || name_size > kMaxTemplateName)) {
    return Malformed(
        fmt::format("PCR {}, template name of {} bytes", entry.pcr, name_size));
  }
  entry.template_name = AsText(reader.Raw(name_size));
  if (entry.template_name == "ima") {
    const ByteView digest = reader.Raw(kSha1Size);
    const uint32_t path_size = reader.U32();
    const ByteView path = reader.Raw(path_size);
    if (!reader.ok() || path.size() > kOldNameSize) {
      return Malformed("cut off, or a path that is too long");
    }
    entry.path = AsText(path);
    RETURN_IF_ERROR(SetDigest(kSha1, digest, entry));
    BuildOldTemplate(entry);
    return entry;
  }
  const uint32_t data_size = reader.U32();
  const ByteView data = reader.Raw(data_size);
  if (!reader.ok() || data.size() > kMaxTemplateData) {
    return Malformed("cut off, or template data that is too long");
  }
  if (IsFieldTemplate(entry.template_name)) {
    entry.template_data = ToBytes(data);
    RETURN_IF_ERROR(ParseTemplateData(data, entry));
  }
  return entry;
}

}  // namespace

bool ImaEntry::violation() const {
  return std::all_of(template_hash.begin(), template_hash.end(),
                     [](uint8_t byte) { return byte == 0; });
}

absl::StatusOr<ImaLog> ParseImaAscii(std::string_view text) {
  if (text.size() > kMaxImaLog) {
    return Malformed(fmt::format("IMA log: {} bytes", text.size()));
  }
  ImaLog log;
  std::optional<uint16_t> bank;
  while (!text.empty()) {
    const std::string where =
        fmt::format("IMA log: entry {}", log.entries.size());
    const size_t newline = text.find('\n');
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size()
                                                         : newline + 1);
    if (line.size() > 2 * kMaxTemplateData) {
      return Malformed(where + ": the line is too long");
    }
    ASSIGN_OR_RETURN_WITH(ImaEntry entry, ParseLine(line), where);
    const auto own = BankOfSize(entry.template_hash.size());
    if (!own || (bank && bank != own)) {
      return Malformed(fmt::format("{}: a template hash of {} bytes", where,
                                   entry.template_hash.size()));
    }
    bank = own;
    log.entries.push_back(std::move(entry));
  }
  log.bank = bank.value_or(kTpmAlgIdSha1);
  return log;
}

absl::StatusOr<ImaLog> ParseImaBinary(ByteView bytes, uint16_t bank) {
  const size_t hash_size = TpmDigestSize(bank);
  if (bytes.size() > kMaxImaLog || hash_size == 0) {
    return Malformed(fmt::format("IMA log: {} bytes with hashes of {:#06x}",
                                 bytes.size(), bank));
  }
  ImaLog log;
  log.bank = bank;
  Reader reader(bytes);
  while (!reader.AtEnd()) {
    ASSIGN_OR_RETURN_WITH(ImaEntry entry, ReadBinaryEntry(reader, hash_size),
                          fmt::format("IMA log: entry {}", log.entries.size()));
    log.entries.push_back(std::move(entry));
  }
  return log;
}

std::map<uint32_t, Bytes> ReplayImaLog(const ImaLog& log) {
  const size_t size = TpmDigestSize(log.bank);
  const Bytes ones(size, 0xFF);
  std::map<uint32_t, Bytes> pcrs;
  for (const ImaEntry& entry : log.entries) {
    Bytes& pcr = pcrs.try_emplace(entry.pcr, size, uint8_t{0}).first->second;
    pcr = TpmHash(log.bank,
                  {pcr, entry.violation() ? ones : entry.template_hash});
  }
  return pcrs;
}

bool TemplateHashHolds(const ImaEntry& entry, uint16_t bank) {
  return !entry.violation() && !entry.template_data.empty() &&
         TpmHash(bank, {entry.template_data}) == entry.template_hash;
}

}  // namespace vmattest::eventlog
