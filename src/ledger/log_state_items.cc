#include <algorithm>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "ledger/log_state.h"
#include "merkle/tree.h"
#include "trust/state_codec.h"

// The part of LogState that is about its canonical form: "State" in
// docs/formats/ledger.md.

namespace vmattest::ledger {
namespace {

constexpr auto kSha256 = HashAlgorithm::kSha256;
constexpr uint8_t kVersion = 1;
constexpr std::string_view kChain = "chain/";
constexpr std::string_view kEk = "ek/";
constexpr std::string_view kLineage = "lineage/";
constexpr std::string_view kLog = "log";
constexpr std::string_view kWriter = "writer/";

std::string Key(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

Bytes TakeSized(ByteReader& reader) {
  const uint32_t size = reader.U32();
  return ToBytes(reader.Raw(size));
}

absl::Status Malformed(const std::string& key) {
  return absl::InvalidArgumentError(
      fmt::format("malformed state of the ledger at {}", key));
}

Bytes EncodeWriter(const Writer& writer) {
  ByteWriter out;
  out.U8(kVersion)
      .Sized(writer.key_spki)
      .U64(writer.generation)
      .U64(static_cast<uint64_t>(writer.not_after_unix_ms))
      .U8(writer.revoked ? 1 : 0)
      .Sized(writer.witness_vkey)
      .Sized(writer.ek_fingerprint)
      .U64(writer.sequence)
      .Sized(writer.last_hash)
      .U32(static_cast<uint32_t>(writer.recent.size()));
  for (const Writer::Recent& recent : writer.recent) {
    out.U64(recent.sequence).Sized(recent.hash).U64(recent.index);
  }
  return std::move(out).Take();
}

absl::StatusOr<Writer> ParseWriter(const std::string& key, ByteView value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  Writer writer;
  writer.key_spki = TakeSized(reader);
  writer.generation = reader.U64();
  writer.not_after_unix_ms = static_cast<int64_t>(reader.U64());
  writer.revoked = reader.U8() != 0;
  writer.witness_vkey = std::string(AsText(TakeSized(reader)));
  writer.ek_fingerprint = TakeSized(reader);
  writer.sequence = reader.U64();
  writer.last_hash = TakeSized(reader);
  const uint32_t recent = reader.U32();
  for (uint32_t i = 0; i < recent && reader.ok(); ++i) {
    Writer::Recent one;
    one.sequence = reader.U64();
    one.hash = TakeSized(reader);
    one.index = reader.U64();
    writer.recent.push_back(std::move(one));
  }
  if (version != kVersion || !reader.AtEnd()) {
    return Malformed(key);
  }
  if (!writer.key_spki.empty()) {
    writer.key = ImportWriterKey(std::string(AsText(writer.key_spki)));
    if (writer.key == nullptr) {
      return Malformed(key);
    }
  }
  return writer;
}

}  // namespace

std::vector<LogState::Item> LogState::Items() const {
  std::vector<Item> items = fold_.Canonical();
  for (const auto& [vm, chain] : chains_) {
    items.emplace_back(Key(kChain, vmattest::ToString(vm)), chain.newest);
  }
  for (const auto& [ek, vm] : by_ek_) {
    items.emplace_back(Key(kEk, ToHex(ek)), ToBytes(ByteView(vm.bytes)));
  }
  for (const auto& [lineage, vm] : by_lineage_) {
    items.emplace_back(Key(kLineage, ToHex(lineage)),
                       ToBytes(ByteView(vm.bytes)));
  }
  ByteWriter log;
  log.U8(kVersion).U64(static_cast<uint64_t>(time_ms_));
  trust::WriteRules(fold_.rules(), log);
  items.emplace_back(std::string(kLog), std::move(log).Take());
  for (const auto& [name, writer] : writers_) {
    items.emplace_back(Key(kWriter, name), EncodeWriter(writer));
  }
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.first < b.first; });
  return items;
}

Bytes LogState::RootOf(const std::vector<Item>& items) {
  std::vector<DigestBytes> leaves;
  leaves.reserve(items.size());
  for (const auto& [key, value] : items) {
    ByteWriter writer;
    writer.Sized(key).Raw(value);
    leaves.push_back(merkle::LeafHash(kSha256, writer.bytes()));
  }
  return merkle::Tree(kSha256, std::move(leaves)).Root();
}

absl::Status LogState::RestoreLog(const std::string& key, ByteView value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  time_ms_ = static_cast<int64_t>(reader.U64());
  const trust::ScoreRules rules = trust::ReadRules(reader);
  if (version != kVersion || !reader.AtEnd()) {
    return Malformed(key);
  }
  return fold_.Restore(
      std::string(trust::kFoldStateKey),
      trust::EncodeFoldState(
          {.witnessed = size_, .newest_ms = time_ms_, .rules = {{0, rules}}}));
}

absl::Status LogState::RestoreItem(const std::string& key, ByteView value) {
  const auto after = [&key](std::string_view prefix) {
    return std::string_view(key).substr(prefix.size());
  };
  if (key == kLog) {
    return RestoreLog(key, value);
  }
  if (key.starts_with(kWriter)) {
    ASSIGN_OR_RETURN(writers_[std::string(after(kWriter))],
                     ParseWriter(key, value));
    return absl::OkStatus();
  }
  if (key.starts_with(kChain)) {
    ASSIGN_OR_RETURN(const Uuid vm, ParseUuid(after(kChain)));
    chains_[vm].newest = ToBytes(value);
    return absl::OkStatus();
  }
  const bool ek = key.starts_with(kEk);
  if (ek || key.starts_with(kLineage)) {
    ASSIGN_OR_RETURN(const Bytes name, ParseHex(after(ek ? kEk : kLineage)));
    if (value.size() != Uuid().bytes.size()) {
      return Malformed(key);
    }
    (ek ? by_ek_ : by_lineage_)[name] = VmOf(std::string(AsText(value)));
    return absl::OkStatus();
  }
  return fold_.Restore(key, value);
}

absl::Status LogState::Restore(uint64_t size, const std::vector<Item>& items) {
  size_ = size;
  for (const auto& [key, value] : items) {
    RETURN_IF_ERROR(RestoreItem(key, value));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::ledger
