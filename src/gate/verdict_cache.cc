#include "gate/verdict_cache.h"

#include <system_error>
#include <utility>

#include "base/log.h"
#include "gate/kept_file.h"

namespace vmattest::gate {
namespace {

constexpr std::string_view kFormat = "vmattest/kept-verdicts/v1";

}  // namespace

VerdictCache::VerdictCache(std::filesystem::path folder)
    : folder_(std::move(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  std::filesystem::directory_iterator files(folder_, error);
  for (; !error && files != std::filesystem::directory_iterator();
       files.increment(error)) {
    if (const absl::Status loaded = Load(files->path()); !loaded.ok()) {
      log::Warning(
          "kept verdicts were thrown away",
          {{"file", files->path().string()}, {"why", loaded.ToString()}});
    }
  }
  if (error) {
    log::Warning("verdicts are kept in memory alone",
                 {{"folder", folder_.string()}, {"why", error.message()}});
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

void VerdictCache::MakeRoom(const VerdictBinding& binding,
                            const TpmClock& now) {
  std::erase_if(entries_, [&](const auto& item) {
    return item.second.until_ms <= now.clock_ms ||
           item.first.reset_count != now.reset_count ||
           (item.first.vm_uuid == binding.vm_uuid &&
            item.first.reference != binding.reference);
  });
  size_t of_vm = 0;
  auto oldest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->first.vm_uuid != binding.vm_uuid) {
      continue;
    }
    ++of_vm;
    if (oldest == entries_.end() ||
        it->second.from_ms < oldest->second.from_ms) {
      oldest = it;
    }
  }
  if (of_vm >= kMaxOfVm) {
    entries_.erase(oldest);
  }
}

absl::Status VerdictCache::Keep(const VerdictBinding& binding, std::string ear,
                                const TpmClock& from, uint32_t seconds) {
  Bytes content;
  {
    const MutexLock lock(mutex_);
    MakeRoom(binding, from);
    if (entries_.size() >= kMaxEntries) {
      return absl::ResourceExhaustedError("too many verdicts are kept");
    }
    entries_.insert_or_assign(binding,
                              Entry{std::move(ear), from.clock_ms,
                                    from.clock_ms + uint64_t{1000} * seconds});
    content = Encode(binding.vm_uuid);
  }
  return WriteKept(folder_ / binding.vm_uuid, kFormat, content);
}

void VerdictCache::Forget(const std::string& vm_uuid) {
  std::error_code ignored;
  std::filesystem::remove(folder_ / vm_uuid, ignored);
  const MutexLock lock(mutex_);
  std::erase_if(entries_, [&](const auto& item) {
    return item.first.vm_uuid == vm_uuid;
  });
}

Bytes VerdictCache::Encode(const std::string& vm_uuid) const {
  ByteWriter writer;
  for (const auto& [binding, entry] : entries_) {
    if (binding.vm_uuid != vm_uuid) {
      continue;
    }
    writer.Sized(binding.vm_uuid).U8(static_cast<uint8_t>(binding.algorithm));
    writer.Sized(binding.root).Sized(binding.measured).Sized(binding.ak);
    writer.U32(binding.reset_count).U32(binding.restart_count);
    writer.Sized(binding.reference).U64(binding.revocation_epoch);
    writer.Sized(entry.ear).U64(entry.from_ms).U64(entry.until_ms);
  }
  return std::move(writer).Take();
}

absl::Status VerdictCache::Load(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const Bytes content, ReadKept(file, kFormat, kMaxFile));
  ByteReader reader(content);
  std::map<VerdictBinding, Entry> entries;
  while (reader.ok() && !reader.AtEnd()) {
    VerdictBinding binding;
    Entry entry;
    binding.vm_uuid = SizedText(reader);
    binding.algorithm = static_cast<HashAlgorithm>(reader.U8());
    binding.root = SizedBytes(reader);
    binding.measured = SizedText(reader);
    binding.ak = SizedBytes(reader);
    binding.reset_count = reader.U32();
    binding.restart_count = reader.U32();
    binding.reference = SizedText(reader);
    binding.revocation_epoch = reader.U64();
    entry.ear = SizedText(reader);
    entry.from_ms = reader.U64();
    entry.until_ms = reader.U64();
    entries.emplace(std::move(binding), std::move(entry));
  }
  if (!reader.ok()) {
    return absl::DataLossError("malformed");
  }
  const MutexLock lock(mutex_);
  entries_.merge(entries);
  return absl::OkStatus();
}

}  // namespace vmattest::gate
