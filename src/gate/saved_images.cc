#include "gate/saved_images.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "gate/kept_file.h"
#include "gate/protocol/save_image_header.h"
#include "measurement/xml_element.h"

namespace vmattest::gate {
namespace {

constexpr std::string_view kFormat = "vmattest/saved-images/v2";
constexpr int64_t kMillisecond = 1'000'000;
// How far a file's times lie behind the clock: a tick of the kernel's.
constexpr int64_t kTickMs = 20;

std::string Shown(const DigestBytes& digest) {
  return digest.empty() ? "none" : ToHex(digest);
}

absl::StatusOr<DigestBytes> DigestVtpm(int vtpm,
                                       const std::function<bool()>& cancelled) {
  if (vtpm < 0) {
    return DigestBytes();
  }
  ASSIGN_OR_RETURN(const FileIdentity file, LookAt(vtpm));
  if (file.size > SavedImages::kMaxVtpm) {
    return absl::InvalidArgumentError("the vTPM's state is too large");
  }
  ASSIGN_OR_RETURN(OpenFileDigest state, DigestOpen(vtpm, cancelled));
  return std::move(state.digest);
}

bool IsNamed(std::string_view defined_xml, std::string_view name) {
  const absl::StatusOr<measurement::XmlElement> domain =
      measurement::ParseXml(defined_xml);
  const measurement::XmlElement* const found =
      domain.ok() ? domain->Child("name") : nullptr;
  return found != nullptr && found->Text() == name;
}

// A file's times cannot be set back by whoever may only write to it.
absl::Status CheckTimes(const FileIdentity& image, int64_t from_ms,
                        int64_t until_ms) {
  for (const int64_t time : {image.ctime_ns, image.mtime_ns}) {
    if (time / kMillisecond < from_ms - kTickMs ||
        time / kMillisecond > until_ms) {
      return absl::FailedPreconditionError(
          "it was written to, copied or renamed at another time than while the "
          "VM ran and was saved");
    }
  }
  return absl::OkStatus();
}

}  // namespace

SavedImages::SavedImages(std::filesystem::path folder, const Clock& clock,
                         Note note)
    : folder_(std::move(folder)), clock_(clock), note_(std::move(note)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    log::Error("saved images cannot be registered",
               {{"folder", folder_.string()}, {"why", error.message()}});
  }
}

SavedImages::~SavedImages() {
  stopping_ = true;
  work_.Shutdown();
}

absl::StatusOr<SavedImages::Record> SavedImages::Load(
    const std::string& vm_uuid) const {
  ASSIGN_OR_RETURN(const Bytes content,
                   ReadKept(folder_ / vm_uuid, kFormat, kMaxFile));
  ByteReader reader(content);
  Record record;
  record.defined_xml = SizedText(reader);
  record.approved_by = SizedText(reader);
  record.launched_ms = static_cast<int64_t>(reader.U64());
  record.stopped_ms = static_cast<int64_t>(reader.U64());
  record.saved = reader.U8() != 0;
  record.vtpm = SizedBytes(reader);
  while (reader.ok() && !reader.AtEnd() && record.images.size() < kMostOfVm) {
    Image image;
    image.digest = SizedBytes(reader);
    image.used = reader.U8() != 0;
    record.images.push_back(std::move(image));
  }
  if (!reader.AtEnd()) {
    return absl::DataLossError(vm_uuid + ": malformed");
  }
  return record;
}

absl::Status SavedImages::Store(const std::string& vm_uuid,
                                const Record& record, Lasting lasting) const {
  ByteWriter writer;
  writer.Sized(record.defined_xml).Sized(record.approved_by);
  writer.U64(static_cast<uint64_t>(record.launched_ms));
  writer.U64(static_cast<uint64_t>(record.stopped_ms));
  writer.U8(record.saved ? 1 : 0).Sized(record.vtpm);
  for (const Image& image : record.images) {
    writer.Sized(image.digest).U8(image.used ? 1 : 0);
  }
  return WriteKept(folder_ / vm_uuid, kFormat, writer.bytes(), lasting);
}

absl::Status SavedImages::Launched(const std::string& vm_uuid,
                                   std::string_view xml,
                                   std::string_view approved_by) {
  const MutexLock lock(files_);
  DropPending(vm_uuid, 0);
  const absl::StatusOr<Record> before = Load(vm_uuid);
  const bool nothing_to_void =
      before.ok() ? !MayCount(*before) : absl::IsNotFound(before.status());
  const Lasting lasting =
      nothing_to_void ? Lasting::kThisBoot : Lasting::kOnDisk;
  Record record = before.value_or(Record());
  record.defined_xml = std::string(xml);
  record.approved_by = std::string(approved_by);
  record.launched_ms = clock_.Now().time_since_epoch().count();
  record.stopped_ms = 0;
  record.saved = false;
  record.vtpm.clear();
  for (Image& image : record.images) {
    image.used = true;
  }
  return Store(vm_uuid, record, lasting);
}

// Without that, a crash of the machine that brings the record back changes
// nothing: there is no memory that it would let in.
bool SavedImages::MayCount(const Record& record) {
  return record.saved ||
         std::any_of(record.images.begin(), record.images.end(),
                     [](const Image& image) { return !image.used; });
}

void SavedImages::Stopped(const Stop& stop) {
  const MutexLock lock(files_);
  absl::StatusOr<Record> record = Load(stop.vm_uuid);
  if (!record.ok() || record->stopped_ms != 0) {
    return;  // not ours, or a start that came to nothing
  }
  const absl::StatusOr<DigestBytes> vtpm =
      DigestVtpm(stop.vtpm == nullptr ? -1 : stop.vtpm->get(),
                 [this] { return stopping_.load(); });
  absl::Status kept = vtpm.status();
  if (kept.ok()) {
    record->stopped_ms = clock_.Now().time_since_epoch().count();
    record->vtpm = *vtpm;
    kept = Store(stop.vm_uuid, *record);
  }
  if (!kept.ok()) {
    log::Warning(
        "how a VM stopped is not known; its memory, if it was saved, "
        "cannot be registered",
        {{"uuid", stop.vm_uuid}, {"why", kept.ToString()}});
    return;
  }
  const MutexLock pending(mutex_);
  if (pending_.size() < kMostPending) {
    pending_.insert_or_assign(stop.vm_uuid, Pending{stop.image, ++turns_});
  }
}

void SavedImages::Ended(const std::string& vm_uuid, bool saved) {
  Pending pending;
  {
    const MutexLock lock(mutex_);
    const auto it = pending_.find(vm_uuid);
    if (it == pending_.end()) {
      return;
    }
    pending = it->second;
  }
  if (!saved) {
    DropPending(vm_uuid, pending.turn);
    return;
  }
  const absl::Status submitted = work_.Submit([this, vm_uuid, pending] {
    const absl::Status registered = MarkSaved(vm_uuid, pending);
    if (!registered.ok()) {
      log::Warning("a saved image was not registered",
                   {{"uuid", vm_uuid}, {"why", registered.ToString()}});
    }
    DropPending(vm_uuid, pending.turn);
  });
  if (!submitted.ok()) {
    log::Warning("a saved image was not registered",
                 {{"uuid", vm_uuid}, {"why", submitted.ToString()}});
    DropPending(vm_uuid, pending.turn);
  }
}

void SavedImages::StartedUnseen(const std::string& vm_uuid) {
  const absl::Status submitted = work_.Submit([this, vm_uuid] {
    const MutexLock lock(files_);
    std::error_code ignored;
    std::filesystem::remove(folder_ / vm_uuid, ignored);
  });
  if (!submitted.ok()) {
    log::Error("images of a VM that started unseen are still believed",
               {{"uuid", vm_uuid}, {"why", submitted.ToString()}});
  }
}

absl::Status SavedImages::MarkSaved(const std::string& vm_uuid,
                                    const Pending& pending) {
  {
    const MutexLock lock(files_);
    if (!IsPending(vm_uuid, pending.turn)) {
      return absl::FailedPreconditionError("it started again meanwhile");
    }
    ASSIGN_OR_RETURN(Record record, Load(vm_uuid));
    record.saved = true;
    RETURN_IF_ERROR(Store(vm_uuid, record));
  }
  return pending.image == nullptr ? absl::OkStatus()
                                  : Add(vm_uuid, pending.image->get(),
                                        [this] { return stopping_.load(); });
}

void SavedImages::DropPending(const std::string& vm_uuid, uint64_t turn) {
  const MutexLock lock(mutex_);
  const auto it = pending_.find(vm_uuid);
  if (it != pending_.end() && (turn == 0 || it->second.turn == turn)) {
    pending_.erase(it);
    changed_.NotifyAll();
  }
}

bool SavedImages::IsPending(const std::string& vm_uuid, uint64_t turn) {
  const MutexLock lock(mutex_);
  const auto it = pending_.find(vm_uuid);
  return it != pending_.end() && it->second.turn == turn;
}

absl::Status SavedImages::AwaitPending(const std::string& vm_uuid,
                                       MonotonicTime deadline) {
  const MutexLock lock(mutex_);
  while (pending_.contains(vm_uuid)) {
    if (!changed_.WaitUntil(mutex_, deadline) && pending_.contains(vm_uuid)) {
      return absl::DeadlineExceededError(
          "what was saved last is still being read, or libvirt has not said "
          "yet that it was saved");
    }
  }
  return absl::OkStatus();
}

std::function<bool()> SavedImages::Until(MonotonicTime deadline) const {
  return
      [this, deadline] { return stopping_ || clock_.Monotonic() >= deadline; };
}

absl::Status SavedImages::Add(const std::string& vm_uuid, int image,
                              const std::function<bool()>& cancelled) {
  const std::optional<SaveImageHeader> header = ReadSaveImageHeader(image);
  if (!header || !header->complete || header->vm_uuid != vm_uuid) {
    return absl::InvalidArgumentError("it is no complete image of this VM");
  }
  ASSIGN_OR_RETURN(const OpenFileDigest read, DigestOpen(image, cancelled));
  std::string vtpm;
  {
    const MutexLock lock(files_);
    ASSIGN_OR_RETURN(Record record, Load(vm_uuid));
    if (record.stopped_ms == 0 || !record.saved) {
      return absl::FailedPreconditionError(
          "its memory was not saved when it stopped last");
    }
    if (!record.images.empty() && !record.images.back().used) {
      return record.images.back().digest == read.digest
                 ? absl::OkStatus()
                 : absl::FailedPreconditionError(
                       "another image was registered since it stopped");
    }
    RETURN_IF_ERROR(
        CheckTimes(read.identity, record.launched_ms, record.stopped_ms));
    if (record.images.size() == kMostOfVm) {
      record.images.erase(record.images.begin());
    }
    record.images.push_back({.digest = read.digest, .used = false});
    RETURN_IF_ERROR(Store(vm_uuid, record));
    vtpm = Shown(record.vtpm);
  }
  log::Info("a saved image was registered",
            {{"uuid", vm_uuid}, {"sha256", ToHex(read.digest)}});
  note_("saved-image", {{"vm_uuid", vm_uuid},
                        {"sha256", ToHex(read.digest)},
                        {"size", std::to_string(read.identity.size)},
                        {"vtpm_sha256", vtpm}});
  return absl::OkStatus();
}

absl::Status SavedImages::Register(const std::string& vm, int image,
                                   MonotonicTime deadline) {
  const std::optional<SaveImageHeader> header = ReadSaveImageHeader(image);
  if (!header) {
    return absl::InvalidArgumentError(
        "it is no file that libvirt saved a VM's memory to");
  }
  RETURN_IF_ERROR(AwaitPending(header->vm_uuid, deadline));
  absl::StatusOr<Record> record;
  {
    const MutexLock lock(files_);
    record = Load(header->vm_uuid);
  }
  if (!record.ok() ||
      (vm != header->vm_uuid && !IsNamed(record->defined_xml, vm))) {
    return absl::InvalidArgumentError(
        fmt::format("it is of VM {}, which is not '{}' or which the gate never "
                    "let in",
                    header->vm_uuid, vm));
  }
  return Add(header->vm_uuid, image, Until(deadline));
}

absl::StatusOr<SavedImages::Found> SavedImages::Check(
    const std::string& vm_uuid, int image, int vtpm, MonotonicTime deadline) {
  RETURN_IF_ERROR(AwaitPending(vm_uuid, deadline));
  Found found;
  ASSIGN_OR_RETURN(found.image, DigestOpen(image, Until(deadline)));
  ASSIGN_OR_RETURN_WITH(const DigestBytes state,
                        DigestVtpm(vtpm, Until(deadline)), "the vTPM's state");
  const MutexLock lock(files_);
  absl::StatusOr<Record> record = Load(vm_uuid);
  if (!record.ok()) {
    if (!absl::IsNotFound(record.status())) {
      log::Warning("what is known of a VM's saved images cannot be read",
                   {{"uuid", vm_uuid}, {"why", record.status().ToString()}});
    }
    return found;
  }
  const auto known =
      std::find_if(record->images.begin(), record->images.end(),
                   [&found](const Image& candidate) {
                     return candidate.digest == found.image.digest;
                   });
  if (known == record->images.end()) {
    return found;
  }
  if (known->used) {
    found.outcome = Found::Outcome::kUsed;
    return found;
  }
  if (state != record->vtpm) {
    found.outcome = Found::Outcome::kOtherVtpm;
    found.expected = Shown(record->vtpm);
    found.found = Shown(state);
    return found;
  }
  found.outcome = Found::Outcome::kKnown;
  found.defined_xml = std::move(record->defined_xml);
  found.approved_by = std::move(record->approved_by);
  return found;
}

}  // namespace vmattest::gate
