#include "worker/memory/memory_session.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "crypto/page_hash.h"
#include "fmt/format.h"
#include "memory/guest_meaning.h"
#include "memory/stream/device_state.h"
#include "memory/stream/saved_ram.h"
#include "worker/memory/view_memory.h"

namespace vmattest::worker {
namespace {

using internal::WorkerReply;
using memory::AddressRange;
using memory::RamSection;

constexpr size_t kMaxBlocks = 256;
constexpr uint32_t kMaxThreads = 64;
constexpr size_t kMaxFetch = size_t{16} << 20;
constexpr uint64_t kMaxBlockBytes = uint64_t{1} << 46;
constexpr uint32_t kMaxPageBytes = 2u << 20;
constexpr size_t kMaxKernelFile = size_t{128} << 20;
constexpr uint64_t kMaxModuleFiles = uint64_t{128} << 20;
constexpr size_t kFilePiece = size_t{1} << 20;
constexpr uint32_t kLastQuery =
    static_cast<uint32_t>(memory::MeaningQuery::What::kProcessAnonymous);

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("no such request: {}", what));
}

template <class Sections>
std::vector<RamSection> ToSections(const Sections& messages) {
  std::vector<RamSection> sections;
  for (const internal::GuestSection& section : messages) {
    sections.push_back({{section.guest().begin(), section.guest().end()},
                        section.block(),
                        section.offset()});
  }
  return sections;
}

absl::StatusOr<std::vector<AddressRange>> ToRanges(
    const internal::GuestRegion& region) {
  std::vector<AddressRange> ranges;
  for (const internal::GuestRange& range : region.ranges()) {
    if (range.begin() >= range.end()) {
      return Malformed("ranges");
    }
    ranges.push_back({range.begin(), range.end()});
  }
  return ranges;
}

absl::StatusOr<Bytes> ReadAll(const UniqueFd& file) {
  Bytes bytes;
  for (;;) {
    const size_t done = bytes.size();
    if (done >= kMaxKernelFile) {
      return absl::InvalidArgumentError("the kernel's file is too large");
    }
    bytes.resize(done + kFilePiece);
    const ssize_t got = pread(file.get(), bytes.data() + done, kFilePiece,
                              static_cast<off_t>(done));
    if (got < 0 && errno != EINTR) {
      return absl::InvalidArgumentError(
          std::string(ErrnoStatus(errno, "the kernel's file").message()));
    }
    bytes.resize(done + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0) {
      return bytes;
    }
  }
}

absl::StatusOr<Bytes> ReadPiece(const UniqueFd& file, uint64_t offset,
                                uint64_t size) {
  Bytes bytes(size);
  for (size_t done = 0; done < size;) {
    const ssize_t got = pread(file.get(), bytes.data() + done, size - done,
                              static_cast<off_t>(offset + done));
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return Malformed("a file of modules");
    }
    done += got > 0 ? static_cast<size_t>(got) : 0;
  }
  return bytes;
}

absl::StatusOr<CodeFiles> ReadCodeFiles(
    const internal::LookAtGuest& request,
    const std::vector<UniqueFd>& descriptors) {
  CodeFiles files{
      absl::NotFoundError("the file of its kernel is not known to the host"),
      {},
      {}};
  uint64_t total = 0;
  for (const internal::ModuleFile& module : request.modules()) {
    if (module.bytes() > kMaxModuleFiles - total) {
      return Malformed("the size of modules");
    }
    total += module.bytes();
  }
  if (request.system_map_bytes() > kMaxModuleFiles - total) {
    return Malformed("the size of System.map");
  }
  total += request.system_map_bytes();
  const size_t kernel = request.kernel_file() ? 1 : 0;
  if (descriptors.size() != kernel + (total > 0 ? 1 : 0)) {
    return Malformed("a number of files");
  }
  if (request.kernel_file()) {
    files.kernel = ReadAll(descriptors[0]);
  }
  uint64_t offset = 0;
  for (const internal::ModuleFile& module : request.modules()) {
    absl::StatusOr<Bytes>& file =
        files.modules
            .try_emplace(module.name(), absl::NotFoundError(module.problem()))
            .first->second;
    if (module.bytes() > 0) {
      ASSIGN_OR_RETURN(file,
                       ReadPiece(descriptors[kernel], offset, module.bytes()));
      offset += module.bytes();
    }
  }
  if (request.system_map_bytes() > 0) {
    ASSIGN_OR_RETURN(files.system_map, ReadPiece(descriptors[kernel], offset,
                                                 request.system_map_bytes()));
  }
  return files;
}

}  // namespace

MemorySession::MemorySession() : key_(RandomBytes(PieceTagger::kKeySize)) {}

absl::StatusOr<WorkerReply> MemorySession::Handle(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
    const WorkerProgram::SendProgress& progress) {
  switch (request.body_case()) {
    case internal::WorkerRequest::kAttachMemory:
      return Attach(request.attach_memory(), std::move(descriptors));
    case internal::WorkerRequest::kCopyMemory:
      return Copy(request.copy_memory());
    case internal::WorkerRequest::kMeasureMemory:
      return Measure(request.measure_memory(), progress);
    case internal::WorkerRequest::kReadSavedState:
      return ReadSaved(request.read_saved_state(), std::move(descriptors));
    case internal::WorkerRequest::kFetchDigests:
      return Fetch(request.fetch_digests());
    case internal::WorkerRequest::kLookAtGuest:
      return Look(request.look_at_guest(), std::move(descriptors));
    case internal::WorkerRequest::kLookAgain:
      return LookAgain();
    default:
      return Malformed("body");
  }
}

absl::StatusOr<WorkerReply> MemorySession::Attach(
    const internal::AttachMemory& request, std::vector<UniqueFd> descriptors) {
  if (descriptors.size() != (request.process() ? 2U : 1U) ||
      request.bytes() == 0 || blocks_.size() >= kMaxBlocks) {
    return Malformed("block");
  }
  memory::RamSource source;
  source.way = request.process() ? memory::RamSource::Way::kProcess
                                 : memory::RamSource::Way::kFile;
  source.base = request.base();
  source.bytes = request.bytes();
  source.anonymous = request.anonymous();
  source.mappable = request.mappable();
  source.memory = std::move(descriptors[0]);
  if (request.process()) {
    source.pagemap = std::move(descriptors[1]);
  }
  blocks_.push_back(std::make_unique<memory::RamBlock>(std::move(source)));
  return WorkerReply();
}

absl::StatusOr<WorkerReply> MemorySession::Copy(
    const internal::CopyMemory& request) {
  WorkerReply reply;
  if (request.prepare()) {
    copy_.reset();
    std::vector<AddressRange> all;
    for (const internal::GuestRegion& region : request.regions()) {
      ASSIGN_OR_RETURN(const std::vector<AddressRange> ranges,
                       ToRanges(region));
      all.insert(all.end(), ranges.begin(), ranges.end());
    }
    ASSIGN_OR_RETURN(copy_, GuestCopy::Prepare(std::move(all)));
    reply.mutable_copied();
    return reply;
  }
  if (copy_ == nullptr) {
    return Malformed("a copy that was not prepared");
  }
  ASSIGN_OR_RETURN(const GuestView view,
                   GuestView::Make(blocks_, ToSections(request.sections())));
  ASSIGN_OR_RETURN(
      const uint64_t copied,
      copy_->Fill(view, std::chrono::microseconds(request.budget_us()),
                  std::clamp(request.threads(), 1U, kMaxThreads)));
  reply.mutable_copied()->set_bytes(copied);
  reply.mutable_copied()->set_complete(copy_->complete());
  return reply;
}

absl::StatusOr<WorkerReply> MemorySession::ReadSaved(
    const internal::ReadSavedState& request,
    std::vector<UniqueFd> descriptors) {
  look_.reset();
  saved_.clear();
  vcpus_.clear();
  std::vector<memory::RamLayout::Block> blocks;
  for (const internal::SavedBlock& block : request.blocks()) {
    if (block.bytes() == 0 || block.bytes() % memory::kPageSize != 0 ||
        block.bytes() > kMaxBlockBytes) {
      return Malformed("block");
    }
    blocks.push_back({block.name(), block.bytes()});
  }
  if (descriptors.size() != 3 || blocks.empty() || blocks.size() > kMaxBlocks) {
    return Malformed("saved state");
  }
  memory::FdStream stream(std::move(descriptors[0]));
  memory::SavedRam ram(std::move(descriptors[1]), blocks, request.max_bytes());
  memory::SavedStateLimits limits;
  limits.stream_bytes = request.max_stream_bytes();
  ASSIGN_OR_RETURN(const memory::SavedState state,
                   memory::ReadSavedState(stream, ram, limits));
  RETURN_IF_ERROR(ram.Finish());
  memory::RamSource source;
  source.way = memory::RamSource::Way::kFile;
  source.bytes = memory::SavedRamBytes(blocks);
  source.mappable = true;
  source.memory = std::move(descriptors[2]);
  saved_.push_back(std::make_unique<memory::RamBlock>(std::move(source)));
  WorkerReply reply;
  WorkerReply::SavedState& saved = *reply.mutable_saved_state();
  saved.set_stream_bytes(state.bytes);
  saved.set_kept_bytes(ram.bytes());
  auto vcpus = memory::ReadVcpuStates(state.devices);
  if (vcpus.ok()) {
    vcpus_ = *std::move(vcpus);
    saved.set_vcpus(static_cast<uint32_t>(vcpus_.size()));
  } else {
    saved.set_vcpu_problem(std::string(vcpus.status().message()));
  }
  return reply;
}

RegionPages& MemorySession::RegionOf(const internal::MeasureMemory& request,
                                     int number) {
  const internal::GuestRegion& region = request.regions(number);
  const std::string key =
      fmt::format("{}/{}/{}", static_cast<int>(request.algorithm()),
                  request.page_bytes(), region.SerializeAsString());
  std::unique_ptr<RegionPages>& kept = kept_[key];
  if (kept == nullptr) {
    kept.reset(new RegionPages{
        .grid = memory::PageGrid(
            ToRanges(region).value_or(std::vector<AddressRange>()),
            request.page_bytes()),
        .algorithm = static_cast<HashAlgorithm>(request.algorithm()),
        .digests = {},
        .tags = {},
        .known = {}});
  }
  return *kept;
}

absl::StatusOr<WorkerReply> MemorySession::Measure(
    const internal::MeasureMemory& request,
    const WorkerProgram::SendProgress& progress) {
  const auto algorithm = static_cast<HashAlgorithm>(request.algorithm());
  if (std::find(std::begin(kAllHashAlgorithms), std::end(kAllHashAlgorithms),
                algorithm) == std::end(kAllHashAlgorithms) ||
      request.page_bytes() < memory::kPageSize ||
      request.page_bytes() > kMaxPageBytes ||
      request.page_bytes() % memory::kPageSize != 0) {
    return Malformed("algorithm or page size");
  }
  ASSIGN_OR_RETURN(const GuestView view,
                   GuestView::Make(request.from_saved() ? saved_ : blocks_,
                                   ToSections(request.sections())));
  for (const internal::GuestRegion& region : request.regions()) {
    RETURN_IF_ERROR(ToRanges(region).status());
  }
  if (!request.incremental()) {
    kept_.clear();
  }
  Mutex mutex;
  MeasureOptions options;
  options.rereads = request.rereads();
  options.threads = std::clamp(request.threads(), 1U, kMaxThreads);
  // BLAKE3 is as fast as the tags are.
  options.tag_key = request.incremental() && algorithm != HashAlgorithm::kBlake3
                        ? &key_
                        : nullptr;
  options.progress = [&](uint64_t bytes) {
    const MutexLock lock(mutex);
    progress(bytes);
  };
  WorkerReply reply;
  last_.clear();
  for (int i = 0; i < request.regions_size(); ++i) {
    RegionPages& region = RegionOf(request, i);
    last_.push_back(&region);
    RETURN_IF_ERROR(MeasurePages(
        view, request.from_copy() ? copy_.get() : nullptr, options, region));
    internal::WorkerReply::MeasuredRegion& measured =
        *reply.mutable_measured()->add_regions();
    measured.set_pages(region.grid.size());
    measured.set_unreadable(region.unreadable);
    measured.set_torn(region.torn);
    measured.set_present_bytes(region.present_bytes);
    measured.set_unchanged(region.unchanged);
  }
  // Samples by nonce are never measured again.
  const std::set<RegionPages*> now(last_.begin(), last_.end());
  std::erase_if(kept_, [&](const auto& entry) {
    return !now.contains(entry.second.get());
  });
  copy_.reset();
  reply.mutable_measured();
  return reply;
}

absl::StatusOr<WorkerReply> MemorySession::Fetch(
    const internal::FetchDigests& request) const {
  if (request.region() >= last_.size()) {
    return Malformed("region");
  }
  const RegionPages& region = *last_[request.region()];
  const size_t size = DigestSize(region.algorithm);
  if (request.first() > region.grid.size() ||
      request.count() > region.grid.size() - request.first() ||
      request.count() * size > kMaxFetch) {
    return Malformed("pages");
  }
  WorkerReply reply;
  reply.set_digests(region.digests.data() + request.first() * size,
                    request.count() * size);
  return reply;
}

absl::StatusOr<WorkerReply> MemorySession::Look(
    const internal::LookAtGuest& request, std::vector<UniqueFd> descriptors) {
  ASSIGN_OR_RETURN(const CodeFiles files, ReadCodeFiles(request, descriptors));
  for (const internal::MeaningRegion& region : request.regions()) {
    for (const auto& query : region.queries()) {
      if (query.what() > kLastQuery) {
        return Malformed("a query");
      }
    }
  }
  const std::vector<RamSection> sections = ToSections(request.sections());
  ASSIGN_OR_RETURN(
      GuestView view,
      GuestView::Make(request.from_saved() ? saved_ : blocks_, sections));
  look_ = std::make_unique<GuestLook>(
      std::make_unique<ViewMemory>(std::move(view), RamOf(sections)));
  WorkerReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_meaning(),
                   look_->Look(request,
                               request.from_saved()
                                   ? std::span<const memory::VcpuState>(vcpus_)
                                   : std::span<const memory::VcpuState>(),
                               files));
  return reply;
}

absl::StatusOr<WorkerReply> MemorySession::LookAgain() {
  if (look_ == nullptr) {
    return Malformed("a look that was not begun");
  }
  const std::unique_ptr<GuestLook> look = std::move(look_);
  WorkerReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_moved(), look->LookAgain());
  return reply;
}

}  // namespace vmattest::worker
