#include "memory/worker/worker_measurer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "fmt/format.h"
#include "ipc/channel.h"
#include "kvm/linux/process_scan.h"
#include "memory/layout_proof.h"
#include "memory/linux/process_ram.h"

namespace vmattest::memory {
namespace {

constexpr std::chrono::hours kWorkerCpuTime{12};
// Sparse: a saved moment's file has the size of the guest.
constexpr uint64_t kMaxFile = uint64_t{1} << 46;

bool SameMemory(const DomainMemory& a, const DomainMemory& b) {
  const auto same_device = [](const DomainMemory::Device& one,
                              const DomainMemory::Device& other) {
    return one.alias == other.alias && one.model == other.model &&
           one.bytes == other.bytes && one.address == other.address &&
           one.block_bytes == other.block_bytes;
  };
  return a.machine == b.machine && a.boot_bytes == b.boot_bytes &&
         a.cells == b.cells && a.own_arguments == b.own_arguments &&
         a.launch_security == b.launch_security &&
         std::equal(a.devices.begin(), a.devices.end(), b.devices.begin(),
                    b.devices.end(), same_device);
}

// A file whose pages exist where something was written.
absl::StatusOr<UniqueFd> MakePeekFile(uint64_t size) {
  UniqueFd file(memfd_create("vmattest-peek", MFD_CLOEXEC));
  if (!file.valid() || ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(errno, "a file for what is peeked at");
  }
  return file;
}

}  // namespace

// Gives the guest back, unless its worker is dead.
class WorkerMeasurer::Lease final : public MeasuredGuest {
 public:
  Lease(WorkerMeasurer& owner, Uses::iterator use,
        std::unique_ptr<OpenGuest> guest)
      : owner_(owner), use_(use), guest_(std::move(guest)) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() override {
    guest_->ForgetMoment();
    owner_.End(use_, good_ && guest_->sure_ ? std::move(guest_) : nullptr);
  }

  [[nodiscard]] std::vector<AddressRange> ram(bool rom_shadow) const override {
    return guest_->ram(rom_shadow);
  }
  [[nodiscard]] std::string reader() const override { return guest_->reader(); }
  [[nodiscard]] std::string run() const override { return guest_->run(); }
  [[nodiscard]] std::string map_proof() const override {
    return guest_->map_proof();
  }
  [[nodiscard]] std::vector<std::string> notes() const override {
    return guest_->notes();
  }
  absl::StatusOr<GuestMeaning> Understand(const MeaningRequest& request,
                                          const MeasureCall& call) override {
    auto result = guest_->Understand(request, call);
    good_ = good_ && result.ok();
    return result;
  }
  absl::StatusOr<std::vector<uint64_t>> CountMoved(
      const MeasureCall& call) override {
    auto result = guest_->CountMoved(call);
    good_ = good_ && result.ok();
    return result;
  }
  absl::Status PrepareCopy(const MeasurePlan& plan,
                           const MeasureCall& call) override {
    const absl::Status status = guest_->PrepareCopy(plan, call);
    good_ = good_ && status.ok();
    return status;
  }
  absl::StatusOr<bool> Copy(const MeasurePlan& plan,
                            std::chrono::microseconds budget,
                            const MeasureCall& call) override {
    absl::StatusOr<bool> result = guest_->Copy(plan, budget, call);
    good_ = good_ && result.ok();
    return result;
  }
  absl::StatusOr<SavedMoment> SaveMoment(const MeasureCall& call) override {
    absl::StatusOr<SavedMoment> result = guest_->SaveMoment(call);
    // Whoever says why it is not possible is well.
    good_ =
        good_ && (result.ok() || absl::IsFailedPrecondition(result.status()));
    return result;
  }
  absl::StatusOr<std::vector<MeasuredRegion>> Measure(
      const MeasurePlan& plan, const MeasureCall& call) override {
    auto result = guest_->Measure(plan, call);
    good_ = good_ && result.ok();
    return result;
  }

 private:
  WorkerMeasurer& owner_;
  const Uses::iterator use_;
  std::unique_ptr<OpenGuest> guest_;
  bool good_ = true;
};

WorkerMeasurer::WorkerMeasurer(inspection::WorkerPool& pool,
                               hypervisor::GuestControl& control,
                               Options options)
    : pool_(pool), control_(control), options_(std::move(options)) {}

WorkerMeasurer::~WorkerMeasurer() = default;

std::unique_ptr<OpenGuest> WorkerMeasurer::TakeKept(const Guest& guest) {
  const MutexLock lock(mutex_);
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if ((*kept)->guest_.uuid == guest.uuid) {
      std::unique_ptr<OpenGuest> found = std::move(*kept);
      kept_.erase(kept);
      return SameMemory(found->guest_.memory, guest.memory) &&
                     found->CheckAlive().ok()
                 ? std::move(found)
                 : nullptr;
    }
  }
  return nullptr;
}

WorkerMeasurer::Uses::iterator WorkerMeasurer::Begin(const Guest& guest) {
  const MutexLock lock(mutex_);
  return uses_.insert(uses_.end(), Use{guest});
}

void WorkerMeasurer::End(Uses::iterator use,
                         std::unique_ptr<OpenGuest> worker) {
  const MutexLock lock(mutex_);
  if (use->keep && worker != nullptr) {
    kept_.push_front(std::move(worker));
  }
  uses_.erase(use);
  while (kept_.size() > options_.max_kept) {
    kept_.pop_back();
  }
}

void WorkerMeasurer::Forget(const std::function<bool(const Guest&)>& which) {
  const MutexLock lock(mutex_);
  kept_.remove_if([&](const auto& kept) { return which(kept->guest_); });
  for (Use& use : uses_) {
    use.keep = use.keep && !which(use.guest);
  }
}

void WorkerMeasurer::Changed(const Uuid& vm) {
  // What it was started with stays until it ends.
  Forget([&](const Guest& guest) {
    return guest.uuid == vm && !guest.memory.devices.empty();
  });
}

void WorkerMeasurer::Ended(const Uuid& vm) {
  Forget([&](const Guest& guest) { return guest.uuid == vm; });
}

void WorkerMeasurer::MissedEvents() {
  Forget([](const Guest&) { return true; });
}

absl::StatusOr<std::unique_ptr<MeasuredGuest>> WorkerMeasurer::Open(
    const Guest& guest, const MeasureCall& call) {
  const Uses::iterator use = Begin(guest);
  absl::StatusOr<std::unique_ptr<OpenGuest>> open = TakeKept(guest);
  if (*open == nullptr) {
    open = Find(guest, call);
  }
  if (!open.ok()) {
    End(use, nullptr);
    return open.status();
  }
  (*open)->LookForMappers();
  return std::unique_ptr<MeasuredGuest>(
      std::make_unique<Lease>(*this, use, *std::move(open)));
}

absl::StatusOr<std::unique_ptr<OpenGuest>> WorkerMeasurer::Find(
    const Guest& guest, const MeasureCall& call) {
  auto open = std::make_unique<OpenGuest>(
      guest, control_,
      OpenGuest::Limits{options_.proc, options_.threads,
                        options_.max_peek_bytes, options_.streams,
                        options_.max_saved_bytes, options_.modules,
                        options_.describe});
  ASSIGN_OR_RETURN(open->layout_, LayOut(guest.memory));
  absl::Status direct = options_.only_peek
                            ? absl::FailedPreconditionError("configured")
                            : OpenDirectly(*open);
  if (absl::IsNotFound(direct)) {
    return direct;
  }
  if (!direct.ok()) {
    // A layout that QEMU contradicts is no better when it is peeked at.
    if (direct.message().substr(0, 17) == "layout-disproved:") {
      return direct;
    }
    if (!options_.describe && !guest.memory.devices.empty()) {
      return direct;
    }
    for (size_t block = open->layout_.blocks.size(); block-- > 0;) {
      if (open->layout_.blocks[block].assumed) {
        LeaveOut(block, "its address is not told", open->layout_);
      }
    }
    open->reader_ = "peek";
    open->proof_ = "by libvirt";
    open->notes_.push_back(
        fmt::format("peek: {}", std::string(direct.message())));
    open->blocks_.clear();
    open->mapped_.clear();
    ASSIGN_OR_RETURN(open->peeked_,
                     MakePeekFile(open->layout_.sections.back().guest.end));
  }
  RETURN_IF_ERROR(Attach(*open, call));
  return open;
}

absl::Status WorkerMeasurer::OpenDirectly(OpenGuest& open) {
  ASSIGN_OR_RETURN(
      open.process_,
      kvm::FindDomainProcess(open.guest_.name, ToString(open.guest_.uuid),
                             options_.libvirt_run_dir, options_.proc));
  open.run_ = kvm::RunOf(open.process_, options_.proc);
  std::vector<uint64_t> sizes;
  for (const RamLayout::Block& block : open.layout_.blocks) {
    sizes.push_back(block.bytes);
  }
  ASSIGN_OR_RETURN(std::vector<RamSource> sources,
                   OpenRam(open.process_, sizes, options_.proc));
  std::vector<std::unique_ptr<RamBlock>> blocks;
  std::vector<BlockCandidate*> candidates;
  for (RamSource& source : sources) {
    blocks.push_back(std::make_unique<RamBlock>(std::move(source)));
    candidates.push_back(blocks.back().get());
  }
  const auto peek = [&](uint64_t address, std::span<uint8_t> buffer) {
    return control_.PeekMemory(open.guest_.uuid, address, buffer);
  };
  ASSIGN_OR_RETURN(const LayoutProof proof,
                   ProveLayout(open.layout_, candidates, peek));
  for (const size_t block : proof.unsure) {
    open.notes_.push_back(
        fmt::format("assumed: {} is empty, so that nothing shows where it is",
                    open.layout_.blocks[block].name));
    open.sure_ = false;
  }
  for (auto block = proof.refuted.rbegin(); block != proof.refuted.rend();
       ++block) {
    LeaveOut(block->first, block->second, open.layout_);
  }
  bool shared = true;
  for (const std::optional<size_t> candidate : proof.candidate_of_block) {
    if (!candidate) {
      continue;
    }
    const RamSource& source = blocks[*candidate]->source();
    shared = shared && source.way == RamSource::Way::kFile;
    RamSource copy{source.way,      source.base, source.bytes, source.anonymous,
                   source.mappable, {},          {},           source.mapped,
                   source.inode};
    ASSIGN_OR_RETURN(copy.memory,
                     ipc::Duplicate(source.memory.get(), "a block of RAM"));
    if (source.pagemap.valid()) {
      ASSIGN_OR_RETURN(copy.pagemap,
                       ipc::Duplicate(source.pagemap.get(), "its page map"));
    }
    open.mapped_.push_back({source.mapped, source.inode});
    open.blocks_.push_back(std::move(copy));
  }
  open.reader_ = shared ? "shared-memory" : "process-memory";
  open.proof_ = fmt::format("{} of {} sections, {} empty", proof.proven,
                            proof.proven + proof.empty, proof.empty);
  open.files_ = FilesOf(open.blocks_);
  return absl::OkStatus();
}

absl::Status WorkerMeasurer::Attach(OpenGuest& open, const MeasureCall& call) {
  const inspection::WorkerCall worker_call{call.deadline, {}, call.cancelled};
  ASSIGN_OR_RETURN(open.worker_, pool_.Take(worker_call));
  if (open.peeks()) {
    RamSource source;
    source.way = RamSource::Way::kFile;
    source.bytes = open.layout_.sections.back().guest.end;
    // Read-only, like all that workers get.
    source.memory = UniqueFd(
        ::open(fmt::format("/proc/self/fd/{}", open.peeked_.get()).c_str(),
               O_RDONLY | O_CLOEXEC));
    if (!source.memory.valid()) {
      return ErrnoStatus(errno, "what was peeked at");
    }
    open.blocks_.push_back(std::move(source));
  }
  for (RamSource& source : open.blocks_) {
    internal::WorkerRequest request;
    internal::AttachMemory& attach = *request.mutable_attach_memory();
    attach.set_process(source.way == RamSource::Way::kProcess);
    attach.set_base(source.base);
    attach.set_bytes(source.bytes);
    attach.set_anonymous(source.anonymous);
    attach.set_mappable(source.mappable);
    std::vector<UniqueFd> descriptors;
    descriptors.push_back(std::move(source.memory));
    if (source.pagemap.valid()) {
      descriptors.push_back(std::move(source.pagemap));
    }
    RETURN_IF_ERROR(
        open.worker_->Call(request, std::move(descriptors), worker_call)
            .status());
  }
  open.blocks_.clear();
  return absl::OkStatus();
}

inspection::WorkerPoolOptions ForMemory(inspection::WorkerPoolOptions options,
                                        uint64_t private_bytes) {
  options.data_bytes = private_bytes;
  options.cpu_time = kWorkerCpuTime;
  options.own_namespaces = true;
  options.open_files = 1024;
  options.file_bytes = kMaxFile;
  return options;
}

}  // namespace vmattest::memory
