#include "gate/verdict_cache.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "crypto/digest.h"

namespace vmattest::gate {
namespace {

constexpr std::string_view kFormat = "vmattest/kept-verdicts/v1";
constexpr size_t kDigest = 32;

std::string Text(ByteReader& reader) {
  return std::string(AsText(reader.Raw(reader.U32())));
}

}  // namespace

VerdictCache::VerdictCache(std::filesystem::path file)
    : file_(std::move(file)) {
  const absl::Status loaded = Load();
  if (!loaded.ok() && !absl::IsNotFound(loaded)) {
    log::Warning("kept verdicts were thrown away",
                 {{"why", loaded.ToString()}});
  }
}

std::optional<std::string> VerdictCache::Find(const VerdictBinding& binding,
                                              const TpmClock& now) const {
  const MutexLock lock(mutex_);
  const auto it = entries_.find(binding);
  if (it == entries_.end() || now.clock_ms < it->second.from_ms ||
      now.clock_ms >= it->second.until_ms) {
    return std::nullopt;
  }
  return it->second.ear;
}

absl::Status VerdictCache::Keep(const VerdictBinding& binding, std::string ear,
                                const TpmClock& from, uint32_t seconds) {
  const MutexLock lock(mutex_);
  std::erase_if(entries_, [&](const auto& item) {
    return item.second.until_ms <= from.clock_ms ||
           item.first.reset_count != from.reset_count ||
           (item.first.vm_uuid == binding.vm_uuid &&
            item.first.reference != binding.reference);
  });
  if (entries_.size() >= kMaxEntries) {
    return absl::ResourceExhaustedError("too many verdicts are kept");
  }
  entries_.insert_or_assign(
      binding, Entry{std::move(ear), from.clock_ms,
                     from.clock_ms + uint64_t{1000} * seconds});
  return WriteFileAtomic(file_, Encode(), 0600);
}

void VerdictCache::Forget(const std::string& vm_uuid) {
  const MutexLock lock(mutex_);
  std::erase_if(entries_, [&](const auto& item) {
    return item.first.vm_uuid == vm_uuid;
  });
}

Bytes VerdictCache::Encode() const {
  ByteWriter writer;
  writer.Sized(kFormat).U32(static_cast<uint32_t>(entries_.size()));
  for (const auto& [binding, entry] : entries_) {
    writer.Sized(binding.vm_uuid).U8(static_cast<uint8_t>(binding.algorithm));
    writer.Sized(binding.root).Sized(binding.measured).Sized(binding.ak);
    writer.U32(binding.reset_count).U32(binding.restart_count);
    writer.Sized(binding.reference).U64(binding.revocation_epoch);
    writer.Sized(entry.ear).U64(entry.from_ms).U64(entry.until_ms);
  }
  writer.Raw(Hash(HashAlgorithm::kSha256, writer.bytes()));
  return std::move(writer).Take();
}

absl::Status VerdictCache::Load() {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file_, kMaxFile));
  if (bytes.size() < kDigest) {
    return absl::DataLossError("too short");
  }
  const ByteView content = ByteView(bytes).first(bytes.size() - kDigest);
  if (Hash(HashAlgorithm::kSha256, content) !=
      ToBytes(ByteView(bytes).last(kDigest))) {
    return absl::DataLossError("its digest is another");
  }
  ByteReader reader(content);
  if (Text(reader) != kFormat) {
    return absl::DataLossError("of another format");
  }
  std::map<VerdictBinding, Entry> entries;
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    VerdictBinding binding;
    Entry entry;
    binding.vm_uuid = Text(reader);
    binding.algorithm = static_cast<HashAlgorithm>(reader.U8());
    binding.root = ToBytes(reader.Raw(reader.U32()));
    binding.measured = Text(reader);
    binding.ak = ToBytes(reader.Raw(reader.U32()));
    binding.reset_count = reader.U32();
    binding.restart_count = reader.U32();
    binding.reference = Text(reader);
    binding.revocation_epoch = reader.U64();
    entry.ear = Text(reader);
    entry.from_ms = reader.U64();
    entry.until_ms = reader.U64();
    entries.emplace(std::move(binding), std::move(entry));
  }
  if (!reader.AtEnd()) {
    return absl::DataLossError("malformed");
  }
  const MutexLock lock(mutex_);
  entries_ = std::move(entries);
  return absl::OkStatus();
}

}  // namespace vmattest::gate
