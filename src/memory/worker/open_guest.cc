#include "memory/worker/open_guest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "fmt/format.h"
#include "memory/linux/process_ram.h"
#include "memory/page_grid.h"
#include "memory/worker/module_files.h"
#include "memory/worker/read_meaning.h"

namespace vmattest::memory {
namespace {

using internal::WorkerReply;
using internal::WorkerRequest;

constexpr uint64_t kFetchPages = 65536;
// What the kernel has in hand at one moment is done at the next.
constexpr std::chrono::seconds kBetweenLooks{1};
// A definition loses a device somewhat later than QEMU does.
constexpr std::chrono::milliseconds kDefinitionIsLate{500};
constexpr std::chrono::milliseconds kOftenEnough{50};
constexpr std::chrono::milliseconds kLongestLook{20000};
constexpr size_t kMaxReason = 200;
constexpr std::string_view kModuleRecord = "module/";

// Where the worker finds what it is to read.
enum class From : uint8_t {
  kBlocks,  // as the layout has them
  kPeeked,  // one block, at the guest's own addresses
  kSaved,   // one block, with the layout's one after the other
};

uint64_t BeginInOne(const RamLayout& layout, size_t block) {
  uint64_t begin = 0;
  for (size_t i = 0; i < block; ++i) {
    begin += layout.blocks[i].bytes;
  }
  return begin;
}

template <class Message>
void FillSections(const RamLayout& layout, From from, Message& message) {
  for (const RamSection& section : layout.sections) {
    internal::GuestSection& added = *message.add_sections();
    added.mutable_guest()->set_begin(section.guest.begin);
    added.mutable_guest()->set_end(section.guest.end);
    switch (from) {
      case From::kBlocks:
        added.set_block(static_cast<uint32_t>(section.block));
        added.set_offset(section.offset);
        break;
      case From::kPeeked:
        added.set_offset(section.guest.begin);
        break;
      case From::kSaved:
        added.set_offset(BeginInOne(layout, section.block) + section.offset);
        break;
    }
  }
}

template <class Message>
void FillPlan(const MeasurePlan& plan, const RamLayout& layout, From from,
              Message& message) {
  FillSections(layout, from, message);
  for (const std::vector<AddressRange>& ranges : plan.regions) {
    internal::GuestRegion& region = *message.add_regions();
    for (const AddressRange& range : ranges) {
      internal::GuestRange& added = *region.add_ranges();
      added.set_begin(range.begin);
      added.set_end(range.end);
    }
  }
}

absl::Status Lies(std::string_view what) {
  return absl::DataLossError(
      fmt::format("vmattest-memory-worker: {} that cannot be", what));
}

absl::Status WriteAt(int fd, std::span<const uint8_t> data, uint64_t offset) {
  for (size_t done = 0; done < data.size();) {
    const ssize_t wrote = pwrite(fd, data.data() + done, data.size() - done,
                                 static_cast<off_t>(offset + done));
    if (wrote < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "keeping what was peeked at");
    }
    done += wrote > 0 ? static_cast<size_t>(wrote) : 0;
  }
  return absl::OkStatus();
}

// Pages without anything in them stay holes, which cost nothing later.
absl::Status WriteUsedPages(int fd, std::span<const uint8_t> data,
                            uint64_t offset) {
  for (size_t at = 0; at < data.size();) {
    const size_t size = std::min<size_t>(kPageSize - (offset + at) % kPageSize,
                                         data.size() - at);
    const auto piece = data.subspan(at, size);
    if (std::any_of(piece.begin(), piece.end(),
                    [](uint8_t byte) { return byte != 0; })) {
      RETURN_IF_ERROR(WriteAt(fd, piece, offset + at));
    }
    at += size;
  }
  return absl::OkStatus();
}

// As the domain's definition names it; its content is the worker's to read.
absl::StatusOr<UniqueFd> OpenKernelFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, path);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(path + " is no file");
  }
  return file;
}

// Why nothing is known about anything.
GuestMeaning Unknown(const std::string& why, size_t regions) {
  GuestMeaning meaning;
  meaning.semantics = why;
  meaning.regions.assign(regions, {{}, why});
  meaning.code_hash_state = "unavailable: " + why;
  meaning.cpu_state = "unavailable: " + why;
  return meaning;
}

std::vector<std::string> ModulesOf(const GuestMeaning& meaning) {
  std::vector<std::string> names;
  for (const GuestRecord& record : meaning.records) {
    if (record.name.rfind(kModuleRecord, 0) == 0) {
      names.push_back(record.name.substr(kModuleRecord.size()));
    }
  }
  return names;
}

absl::Status WaitABit(std::chrono::milliseconds time, const MeasureCall& call) {
  const MonotonicTime until =
      std::min(call.deadline, std::chrono::steady_clock::now() + time);
  while (std::chrono::steady_clock::now() < until) {
    if (call.cancelled && call.cancelled()) {
      return absl::CancelledError("cancelled");
    }
    std::this_thread::sleep_until(
        std::min(until, std::chrono::steady_clock::now() + kOftenEnough));
  }
  return absl::OkStatus();
}

absl::Status RamGone(std::string_view block) {
  return absl::UnavailableError(
      fmt::format("ram-gone: the VM lost {} meanwhile", block));
}

}  // namespace

std::vector<std::string> OpenGuest::notes() const {
  std::vector<std::string> notes = notes_;
  for (const std::string& other : mappers_) {
    notes.push_back(fmt::format("also-mapped: {}", other));
  }
  for (const std::string& left : layout_.left_out) {
    notes.push_back(fmt::format("left-out: {}", left));
  }
  for (const std::string& file : DeviceAccess(process_, limits_.proc)) {
    notes.push_back(fmt::format("device-access: {}", file));
  }
  return notes;
}

void OpenGuest::LookForMappers() {
  mappers_ = OtherMappers(process_, files_, limits_.proc);
}

absl::Status OpenGuest::CheckAlive() const {
  if (peeks()) {
    return absl::OkStatus();
  }
  const absl::StatusOr<std::optional<size_t>> gone =
      FirstUnmapped(process_, mapped_, limits_.proc);
  if (!gone.ok()) {
    return absl::UnavailableError(
        fmt::format("guest-gone: {}", std::string(gone.status().message())));
  }
  return *gone ? RamGone(layout_.blocks[**gone].name) : absl::OkStatus();
}

absl::Status OpenGuest::CheckPeeked() const {
  if (!limits_.describe) {
    return absl::OkStatus();
  }
  const absl::StatusOr<DomainMemory> now = limits_.describe(guest_.uuid);
  if (absl::IsNotFound(now.status())) {
    return absl::UnavailableError(
        fmt::format("guest-gone: {}", std::string(now.status().message())));
  }
  RETURN_IF_ERROR_WITH(now.status(), "whether its memory is all there");
  for (const DomainMemory::Device& had : guest_.memory.devices) {
    const bool there = std::any_of(now->devices.begin(), now->devices.end(),
                                   [&](const DomainMemory::Device& has) {
                                     return has.alias == had.alias &&
                                            has.bytes == had.bytes &&
                                            has.address == had.address;
                                   });
    if (!there) {
      return RamGone(had.alias);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<WorkerReply> OpenGuest::Ask(const WorkerRequest& request,
                                           const MeasureCall& call) {
  return worker_->Call(request, {},
                       {call.deadline, call.progress, call.cancelled});
}

absl::StatusOr<bool> OpenGuest::Peek(const MeasurePlan& plan,
                                     MonotonicTime until,
                                     const MeasureCall& call) {
  std::vector<uint8_t> buffer(hypervisor::GuestControl::kMaxPeek);
  uint64_t total = 0;
  for (const std::vector<AddressRange>& ranges : plan.regions) {
    for (const AddressRange& range : ranges) {
      total += range.end - range.begin;
    }
  }
  if (total > limits_.max_peek_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{} bytes are too many to be peeked at (limit: {})", total,
                    limits_.max_peek_bytes));
  }
  for (const std::vector<AddressRange>& ranges : plan.regions) {
    for (const AddressRange& range : ranges) {
      for (uint64_t at = range.begin; at < range.end;) {
        const uint64_t size = std::min<uint64_t>(buffer.size(), range.end - at);
        const AddressRange piece{at, at + size};
        at = piece.end;
        if (std::find(peeked_ranges_.begin(), peeked_ranges_.end(), piece) !=
            peeked_ranges_.end()) {
          continue;
        }
        if (std::chrono::steady_clock::now() >= until) {
          return false;
        }
        if (call.cancelled && call.cancelled()) {
          return absl::CancelledError("cancelled");
        }
        const std::span<uint8_t> part(buffer.data(), size);
        const absl::Status shown =
            control_.PeekMemory(guest_.uuid, piece.begin, part);
        if (!shown.ok()) {
          RETURN_IF_ERROR(CheckPeeked());
          return shown;
        }
        RETURN_IF_ERROR(WriteUsedPages(peeked_.get(), part, piece.begin));
        peeked_ranges_.push_back(piece);
        if (call.progress) {
          call.progress(size);
        }
      }
    }
  }
  return true;
}

absl::StatusOr<GuestMeaning> OpenGuest::Look(const MeaningRequest& request,
                                             const MeasureCall& call) {
  WorkerRequest message;
  internal::LookAtGuest& look = *message.mutable_look_at_guest();
  FillSections(layout_, saved_.valid() ? From::kSaved : From::kBlocks, look);
  look.set_from_saved(saved_.valid());
  for (const std::vector<MeaningQuery>& queries : request.regions) {
    internal::MeaningRegion& region = *look.add_regions();
    for (const MeaningQuery& query : queries) {
      internal::MeaningRegion::Query& added = *region.add_queries();
      added.set_what(static_cast<uint32_t>(query.what));
      added.set_pattern(query.pattern);
    }
  }
  for (const std::string& field : request.task_fields) {
    look.add_task_fields(field);
  }
  std::vector<UniqueFd> descriptors;
  absl::Status no_file;
  if (!request.kernel_file.empty()) {
    absl::StatusOr<UniqueFd> file = OpenKernelFile(request.kernel_file);
    no_file = file.status();
    if (file.ok()) {
      descriptors.push_back(*std::move(file));
    }
  }
  look.set_kernel_file(!descriptors.empty());
  if (!limits_.modules.empty()) {
    // Without the kernel's file nothing is known of modules either.
    ASSIGN_OR_RETURN(
        ModuleFiles files,
        CollectModuleFiles(
            limits_.modules, release_,
            look.kernel_file() ? modules_ : std::vector<std::string>()));
    for (ModuleFiles::File& file : files.files) {
      internal::ModuleFile& added = *look.add_modules();
      added.set_name(file.name);
      added.set_bytes(file.bytes);
      added.set_problem(file.problem);
    }
    look.set_system_map_bytes(files.system_map);
    if (files.content.valid()) {
      descriptors.push_back(std::move(files.content));
    }
  }
  // Half of what is left: the rest is for measuring.
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      (call.deadline - std::chrono::steady_clock::now()) / 2);
  look.set_time_ms(static_cast<uint32_t>(
      std::clamp(left, std::chrono::milliseconds(1), kLongestLook).count()));
  const absl::StatusOr<WorkerReply> reply = worker_->Call(
      message, std::move(descriptors), {call.deadline, {}, call.cancelled});
  if (absl::IsResourceExhausted(reply.status())) {
    return Unknown("limit: the guest's structures take too much memory",
                   request.regions.size());
  }
  RETURN_IF_ERROR(reply.status());
  ASSIGN_OR_RETURN(
      GuestMeaning meaning,
      ReadMeaning(reply->meaning(), request.regions.size(), ram(true)));
  if (meaning.understood() && !no_file.ok()) {
    meaning.code_hash_state =
        "unavailable: " + std::string(no_file.message().substr(0, kMaxReason));
  }
  return meaning;
}

absl::StatusOr<GuestMeaning> OpenGuest::LookWithModules(
    const MeaningRequest& request, const MeasureCall& call) {
  ASSIGN_OR_RETURN(GuestMeaning meaning, Look(request, call));
  if (limits_.modules.empty() || !meaning.understood()) {
    return meaning;
  }
  std::vector<std::string> modules = ModulesOf(meaning);
  if (release_ == meaning.kernel_release && modules_ == modules) {
    return meaning;
  }
  release_ = meaning.kernel_release;
  modules_ = std::move(modules);
  return Look(request, call);
}

absl::StatusOr<GuestMeaning> OpenGuest::Understand(
    const MeaningRequest& request, const MeasureCall& call) {
  if (peeks() && !saved_.valid()) {
    return Unknown("read-by-peek: too slow to look for a kernel",
                   request.regions.size());
  }
  regions_looked_at_ = request.regions.size();
  ASSIGN_OR_RETURN(GuestMeaning first, LookWithModules(request, call));
  // A saved moment has no second one; in it nothing is in the middle of
  // anything for longer than an instant.
  if (first.findings.empty() || saved_.valid()) {
    return first;
  }
  RETURN_IF_ERROR(WaitABit(kBetweenLooks, call));
  ASSIGN_OR_RETURN(GuestMeaning second, LookWithModules(request, call));
  return Confirmed(first, std::move(second));
}

absl::StatusOr<std::vector<uint64_t>> OpenGuest::CountMoved(
    const MeasureCall& call) {
  WorkerRequest request;
  request.mutable_look_again();
  ASSIGN_OR_RETURN(
      const WorkerReply reply,
      worker_->Call(request, {}, {call.deadline, {}, call.cancelled}));
  if (static_cast<size_t>(reply.moved().parts_size()) != regions_looked_at_) {
    return Lies("moved parts");
  }
  return std::vector<uint64_t>(reply.moved().parts().begin(),
                               reply.moved().parts().end());
}

absl::Status OpenGuest::PrepareCopy(const MeasurePlan& plan,
                                    const MeasureCall& call) {
  if (peeks()) {
    return absl::OkStatus();
  }
  WorkerRequest request;
  request.mutable_copy_memory()->set_prepare(true);
  FillPlan(plan, layout_, From::kBlocks, *request.mutable_copy_memory());
  return Ask(request, call).status();
}

absl::StatusOr<bool> OpenGuest::Copy(const MeasurePlan& plan,
                                     std::chrono::microseconds budget,
                                     const MeasureCall& call) {
  if (peeks()) {
    return Peek(plan, std::chrono::steady_clock::now() + budget, call);
  }
  WorkerRequest request;
  internal::CopyMemory& copy = *request.mutable_copy_memory();
  FillPlan(plan, layout_, From::kBlocks, copy);
  copy.set_budget_us(static_cast<uint64_t>(budget.count()));
  copy.set_threads(static_cast<uint32_t>(limits_.threads));
  ASSIGN_OR_RETURN(const WorkerReply reply, Ask(request, call));
  return reply.copied().complete();
}

absl::StatusOr<std::vector<uint8_t>> OpenGuest::FetchDigests(
    uint32_t region, uint64_t pages, size_t digest_size,
    const MeasureCall& call) {
  std::vector<uint8_t> digests;
  digests.reserve(pages * digest_size);
  for (uint64_t first = 0; first < pages; first += kFetchPages) {
    WorkerRequest request;
    internal::FetchDigests& fetch = *request.mutable_fetch_digests();
    const uint64_t count = std::min(kFetchPages, pages - first);
    fetch.set_region(region);
    fetch.set_first(first);
    fetch.set_count(static_cast<uint32_t>(count));
    ASSIGN_OR_RETURN(const WorkerReply reply, Ask(request, call));
    if (reply.digests().size() != count * digest_size) {
      return Lies("digests");
    }
    digests.insert(digests.end(), reply.digests().begin(),
                   reply.digests().end());
  }
  return digests;
}

absl::StatusOr<std::vector<MeasuredRegion>> OpenGuest::Measure(
    const MeasurePlan& plan, const MeasureCall& call) {
  const From from = saved_.valid() ? From::kSaved
                    : peeks()      ? From::kPeeked
                                   : From::kBlocks;
  if (from == From::kPeeked) {
    ASSIGN_OR_RETURN(const bool all, Peek(plan, call.deadline, call));
    if (!all) {
      return absl::DeadlineExceededError("peeking took too long");
    }
  }
  WorkerRequest request;
  internal::MeasureMemory& measure = *request.mutable_measure_memory();
  FillPlan(plan, layout_, from, measure);
  measure.set_algorithm(static_cast<v1::HashAlgorithm>(plan.algorithm));
  measure.set_page_bytes(plan.page_bytes);
  // What stands still cannot be torn.
  measure.set_rereads(from == From::kBlocks ? plan.rereads : 0);
  measure.set_threads(static_cast<uint32_t>(limits_.threads));
  measure.set_incremental(plan.incremental);
  measure.set_from_copy(from == From::kBlocks);
  measure.set_from_saved(from == From::kSaved);
  const absl::StatusOr<WorkerReply> told_all = Ask(request, call);
  if (absl::IsUnavailable(told_all.status()) && from == From::kBlocks) {
    // By its name, if the guest went and not the worker.
    RETURN_IF_ERROR(CheckAlive());
  }
  RETURN_IF_ERROR(told_all.status());
  const WorkerReply& reply = *told_all;
  if (static_cast<size_t>(reply.measured().regions_size()) !=
      plan.regions.size()) {
    return Lies("regions");
  }
  std::vector<MeasuredRegion> regions;
  for (size_t i = 0; i < plan.regions.size(); ++i) {
    const auto& told = reply.measured().regions(static_cast<int>(i));
    MeasuredRegion region{told.pages(),         told.unreadable(), told.torn(),
                          told.present_bytes(), told.unchanged(),  {}};
    if (region.pages != PageGrid(plan.regions[i], plan.page_bytes).size() ||
        region.unreadable > region.pages || region.torn > region.pages) {
      return Lies("counts");
    }
    ASSIGN_OR_RETURN(region.digests,
                     FetchDigests(static_cast<uint32_t>(i), region.pages,
                                  DigestSize(plan.algorithm), call));
    regions.push_back(std::move(region));
  }
  peeked_ranges_.clear();
  const auto size = static_cast<off_t>(layout_.sections.back().guest.end);
  if (peeks() && (ftruncate(peeked_.get(), 0) != 0 ||
                  ftruncate(peeked_.get(), size) != 0)) {
    return ErrnoStatus(errno, "forgetting what was peeked at");
  }
  // A file outlives its process: what was read may be what it left.
  if (from == From::kBlocks) {
    RETURN_IF_ERROR(CheckAlive());
  }
  // QEMU shows zeros where memory was.
  if (from == From::kPeeked && !guest_.memory.devices.empty()) {
    RETURN_IF_ERROR(WaitABit(kDefinitionIsLate, call));
    if (std::chrono::steady_clock::now() >= call.deadline) {
      return absl::DeadlineExceededError("peeking took too long");
    }
    RETURN_IF_ERROR(CheckPeeked());
  }
  return regions;
}

}  // namespace vmattest::memory
