#include "gate/disk_continuity.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "gate/kept_file.h"
#include "measurement/content_leaves.h"
#include "measurement/content_sources.h"
#include "measurement/normalise.h"
#include "measurement/xml_element.h"

namespace vmattest::gate {
namespace {

using measurement::ContentPlan;
using measurement::ContentPolicy;
using measurement::ContentSource;

constexpr std::string_view kFormat = "vmattest/disk-digests/v1";
constexpr int kAttempts = 3;
constexpr std::chrono::seconds kBetweenLines{10};

// What a full measurement reads and one of the chain does not: what the guest
// writes to.
absl::StatusOr<std::vector<ContentSource>> WritableSources(
    const measurement::XmlElement& domain, image::HeaderParser& parser) {
  ASSIGN_OR_RETURN(ContentPlan all, measurement::PlanContent(
                                        domain, ContentPolicy::kFull, parser));
  ASSIGN_OR_RETURN(
      const ContentPlan chain,
      measurement::PlanContent(domain, ContentPolicy::kChain, parser));
  for (const ConfigLeaf& leaf : all.leaves) {
    if (leaf.type == LeafType::kUnavailable && leaf.path.starts_with("disk[") &&
        leaf.value.starts_with("unbound")) {
      return absl::FailedPreconditionError(
          fmt::format("{}: {}", leaf.path, leaf.value));
    }
  }
  std::erase_if(all.files, [&chain](const ContentSource& source) {
    return std::any_of(chain.files.begin(), chain.files.end(),
                       [&source](const ContentSource& other) {
                         return other.leaf == source.leaf;
                       });
  });
  return std::move(all.files);
}

}  // namespace

DiskContinuity::DiskContinuity(std::filesystem::path folder, Parts parts)
    : folder_(std::move(folder)), parts_(std::move(parts)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    log::Error("digests of disks cannot be kept",
               {{"folder", folder_.string()}, {"why", error.message()}});
  }
}

DiskContinuity::~DiskContinuity() {
  stopping_ = true;
  work_.Shutdown();
}

absl::StatusOr<DiskContinuity::Record> DiskContinuity::Load(
    const std::string& vm_uuid) const {
  ASSIGN_OR_RETURN(const Bytes content,
                   ReadKept(folder_ / vm_uuid, kFormat, kMaxFile));
  ByteReader reader(content);
  Record record;
  record.defined_xml = SizedText(reader);
  record.algorithm = static_cast<HashAlgorithm>(reader.U8());
  record.stopped = reader.U8() != 0;
  while (reader.ok() && !reader.AtEnd()) {
    std::string leaf = SizedText(reader);
    record.disks.insert_or_assign(std::move(leaf), SizedText(reader));
  }
  if (!reader.ok()) {
    return absl::DataLossError(vm_uuid + ": malformed");
  }
  return record;
}

absl::Status DiskContinuity::Store(const std::string& vm_uuid,
                                   const Record& record) const {
  ByteWriter writer;
  writer.Sized(record.defined_xml);
  writer.U8(static_cast<uint8_t>(record.algorithm));
  writer.U8(record.stopped ? 1 : 0);
  for (const auto& [leaf, digest] : record.disks) {
    writer.Sized(leaf).Sized(digest);
  }
  return WriteKept(folder_ / vm_uuid, kFormat, writer.bytes());
}

absl::Status DiskContinuity::Launched(const std::string& vm_uuid,
                                      std::string_view xml,
                                      HashAlgorithm algorithm) {
  const MutexLock lock(files_);
  DropPending(vm_uuid, 0);
  return Store(vm_uuid, {.defined_xml = std::string(xml),
                         .algorithm = algorithm,
                         .stopped = false,
                         .disks = {}});
}

absl::Status DiskContinuity::LaunchedWithout(const std::string& vm_uuid) {
  const MutexLock lock(files_);
  DropPending(vm_uuid, 0);
  std::error_code error;
  std::filesystem::remove(folder_ / vm_uuid, error);
  return error ? ErrnoStatus(error.value(), (folder_ / vm_uuid).string())
               : absl::OkStatus();
}

void DiskContinuity::Stopped(const std::string& vm_uuid) {
  if (const absl::StatusOr<Record> record = Load(vm_uuid);
      !record.ok() || record->stopped) {
    return;
  }
  uint64_t turn = 0;
  {
    const MutexLock lock(mutex_);
    if (pending_.contains(vm_uuid)) {
      return;
    }
    turn = ++turns_;
    pending_.emplace(vm_uuid, turn);
  }
  const absl::Status submitted = work_.Submit([this, vm_uuid, turn] {
    const absl::Status read = ReadStopped(vm_uuid, turn);
    if (!read.ok()) {
      log::Error(
          "a stopped VM's disks were not recorded; it cannot start "
          "where its reference demands that",
          {{"uuid", vm_uuid}, {"why", read.ToString()}});
      parts_.note("disk-digests-missed",
                  {{"vm_uuid", vm_uuid},
                   {"why", std::string(read.message()).substr(0, 512)}});
    }
    DropPending(vm_uuid, turn);
  });
  if (!submitted.ok()) {
    log::Error("a stopped VM's disks were not recorded",
               {{"uuid", vm_uuid}, {"why", submitted.ToString()}});
    DropPending(vm_uuid, turn);
  }
}

void DiskContinuity::DropPending(const std::string& vm_uuid, uint64_t turn) {
  const MutexLock lock(mutex_);
  const auto it = pending_.find(vm_uuid);
  if (it != pending_.end() && (turn == 0 || it->second == turn)) {
    pending_.erase(it);
    changed_.NotifyAll();
  }
}

absl::Status DiskContinuity::ReadStopped(const std::string& vm_uuid,
                                         uint64_t turn) {
  ASSIGN_OR_RETURN(Record record, Load(vm_uuid));
  const MonotonicTime began = parts_.clock.Monotonic();
  absl::StatusOr<Digests> disks = absl::AbortedError("");
  // libvirt gives images back to their owners about now.
  for (int i = 0; i < kAttempts && absl::IsAborted(disks.status()); ++i) {
    disks = Read(record.defined_xml, record.algorithm,
                 [this] { return stopping_.load(); });
  }
  RETURN_IF_ERROR(disks.status());
  record.disks = *std::move(disks);
  record.stopped = true;
  {
    const MutexLock files(files_);
    const MutexLock lock(mutex_);
    const auto it = pending_.find(vm_uuid);
    if (it == pending_.end() || it->second != turn) {
      return absl::FailedPreconditionError("it started again meanwhile");
    }
    RETURN_IF_ERROR(Store(vm_uuid, record));
  }
  std::map<std::string, std::string> facts{{"vm_uuid", vm_uuid}};
  for (const auto& [leaf, digest] : record.disks) {
    if (facts.size() < 16) {
      facts.emplace(leaf.substr(0, 200), digest);
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      parts_.clock.Monotonic() - began);
  log::Info("a stopped VM's disks were recorded",
            {{"uuid", vm_uuid},
             {"disks", std::to_string(record.disks.size())},
             {"ms", std::to_string(took.count())}});
  parts_.note("disk-digests", std::move(facts));
  return absl::OkStatus();
}

absl::StatusOr<DiskContinuity::Digests> DiskContinuity::Read(
    std::string_view xml, HashAlgorithm algorithm,
    const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(measurement::XmlElement domain, measurement::ParseXml(xml));
  measurement::Normalise(domain);
  ASSIGN_OR_RETURN(const std::vector<ContentSource> sources,
                   WritableSources(domain, *parts_.make_parser()));
  measurement::MeasureOptions options;
  options.algorithm = algorithm;
  options.cancelled = cancelled;
  const auto next = std::make_shared<std::atomic<int64_t>>(
      (parts_.clock.Monotonic() + kBetweenLines).time_since_epoch().count());
  options.progress = [this, next](uint64_t done, uint64_t total) {
    const MonotonicTime now = parts_.clock.Monotonic();
    int64_t due = next->load();
    if (now.time_since_epoch().count() >= due &&
        next->compare_exchange_strong(
            due, (now + kBetweenLines).time_since_epoch().count())) {
      log::Info("a VM's disks are being read", {{"done", std::to_string(done)},
                                                {"of", std::to_string(total)}});
    }
  };
  ASSIGN_OR_RETURN(const measurement::ContentLeaves content,
                   measurement::DigestContent(sources, parts_.digester,
                                              parts_.hashing, options));
  Digests digests;
  for (const ConfigLeaf& leaf : content.leaves) {
    digests.insert_or_assign(leaf.path, leaf.value);
  }
  return digests;
}

absl::StatusOr<DiskContinuity::Compared> DiskContinuity::Compare(
    const std::string& vm_uuid, std::string_view xml, MonotonicTime deadline) {
  {
    const MutexLock lock(mutex_);
    while (pending_.contains(vm_uuid)) {
      if (!changed_.WaitUntil(mutex_, deadline) && pending_.contains(vm_uuid)) {
        return absl::DeadlineExceededError(
            "its disks are still being read since it stopped");
      }
    }
  }
  Compared compared;
  const absl::StatusOr<Record> record = Load(vm_uuid);
  if (!record.ok()) {
    compared.why = absl::IsNotFound(record.status())
                       ? "it was never seen to stop"
                       : std::string(record.status().message());
    return compared;
  }
  if (!record->stopped) {
    compared.why =
        "its last stop was not seen (the host or vmattestd went down while it "
        "ran), or its disks could not be read then";
    return compared;
  }
  ASSIGN_OR_RETURN(const Digests now,
                   Read(xml, record->algorithm, [this, deadline] {
                     return stopping_ || parts_.clock.Monotonic() >= deadline;
                   }));
  for (const auto& [leaf, digest] : now) {
    const auto before = record->disks.find(leaf);
    if (before == record->disks.end()) {
      compared.why = fmt::format("{} was not one of its disks", leaf);
      return compared;
    }
    if (before->second != digest) {
      compared.differences.push_back({leaf, before->second, digest});
    }
  }
  compared.recorded = true;
  return compared;
}

}  // namespace vmattest::gate
