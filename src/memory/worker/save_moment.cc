#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "fmt/format.h"
#include "memory/stream/saved_ram.h"
#include "memory/worker/open_guest.h"

namespace vmattest::memory {
namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr uint64_t kStreamFactor = 8;  // times the guest's size
constexpr uint64_t kStreamSlack = uint64_t{256} << 20;
constexpr int kDrainMs = 50;
constexpr std::chrono::minutes kLongest{10};

// A FIFO with a name for as long as the object lives. Both its ends are held,
// so that whoever opens it never waits for the other side.
class NamedPipe {
 public:
  static absl::StatusOr<NamedPipe> Make(const std::filesystem::path& path) {
    (void)unlink(path.c_str());  // of a daemon that died
    NamedPipe pipe(path);
    if (mkfifo(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
      return ErrnoStatus(errno, path.string());
    }
    pipe.read = UniqueFd(
        open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    pipe.worker = UniqueFd(
        open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    pipe.write =
        UniqueFd(open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    // The worker waits for what comes; the larger it is the fewer switches.
    if (!pipe.read.valid() || !pipe.worker.valid() || !pipe.write.valid() ||
        fcntl(pipe.worker.get(), F_SETFL, O_RDONLY) != 0) {
      return ErrnoStatus(errno, path.string());
    }
    (void)fcntl(pipe.read.get(), F_SETPIPE_SZ, kPipeBytes);
    return pipe;
  }
  NamedPipe(NamedPipe&& other) noexcept = default;
  NamedPipe& operator=(NamedPipe&&) = delete;
  NamedPipe(const NamedPipe&) = delete;
  NamedPipe& operator=(const NamedPipe&) = delete;
  ~NamedPipe() {
    if (read.valid()) {
      (void)unlink(path_.c_str());
    }
  }

  // Takes what still comes, so that nobody waits for the pipe to be emptied.
  void Drain() const {
    pollfd wait{read.get(), POLLIN, 0};
    (void)poll(&wait, 1, kDrainMs);
    char buffer[1 << 16];
    while (::read(read.get(), buffer, sizeof buffer) > 0) {
    }
  }

  UniqueFd read, worker, write;

 private:
  explicit NamedPipe(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

absl::StatusOr<UniqueFd> MakeSavedFile(uint64_t bytes) {
  UniqueFd file(memfd_create("vmattest-moment", MFD_CLOEXEC));
  if (!file.valid() || ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) {
    return ErrnoStatus(errno, "a file for a guest's memory");
  }
  return file;
}

absl::StatusOr<UniqueFd> OpenAgain(const UniqueFd& file, int flags) {
  UniqueFd again(open(fmt::format("/proc/self/fd/{}", file.get()).c_str(),
                      flags | O_CLOEXEC));
  if (!again.valid()) {
    return ErrnoStatus(errno, "a file for a guest's memory");
  }
  return again;
}

}  // namespace

absl::StatusOr<SavedMoment> OpenGuest::SaveMoment(const MeasureCall& call) {
  ForgetMoment();
  if (limits_.streams.empty() || limits_.max_saved_bytes == 0) {
    return absl::FailedPreconditionError("it is switched off");
  }
  for (const DomainMemory::Device& device : guest_.memory.devices) {
    // A guest can write there, and QEMU streams nothing of it.
    if (device.model == "virtio-mem") {
      return absl::FailedPreconditionError(
          fmt::format("{} {}: what it has not given is not streamed",
                      device.model, device.alias));
    }
  }
  const uint64_t bytes = SavedRamBytes(layout_.blocks);
  ASSIGN_OR_RETURN(NamedPipe pipe,
                   NamedPipe::Make(limits_.streams / ToString(guest_.uuid)));
  ASSIGN_OR_RETURN(UniqueFd file, MakeSavedFile(bytes));
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(std::move(pipe.worker));
  for (const int flags : {O_WRONLY, O_RDONLY}) {
    ASSIGN_OR_RETURN(UniqueFd again, OpenAgain(file, flags));
    descriptors.push_back(std::move(again));
  }
  internal::WorkerRequest request;
  internal::ReadSavedState& read = *request.mutable_read_saved_state();
  for (const RamLayout::Block& block : layout_.blocks) {
    internal::SavedBlock& added = *read.add_blocks();
    added.set_name(block.name);
    added.set_bytes(block.bytes);
  }
  read.set_max_bytes(limits_.max_saved_bytes);
  read.set_max_stream_bytes(kStreamFactor * bytes + kStreamSlack);

  const auto begin = std::chrono::steady_clock::now();
  absl::StatusOr<std::chrono::microseconds> stood =
      absl::UnknownError("not begun");
  std::atomic<bool> written = false;
  std::thread writer([&] {
    (void)pthread_setname_np(pthread_self(), "moment");
    stood = control_.SaveState(guest_.uuid,
                               limits_.streams / ToString(guest_.uuid));
    written = true;
    // The last writer: the worker sees the end.
    pipe.write.Reset();
  });
  // Half of the time that there is: what comes after it takes some, too.
  const MonotonicTime until =
      begin +
      std::min<MonotonicTime::duration>(kLongest, (call.deadline - begin) / 2);
  const auto told = worker_->Call(
      request, std::move(descriptors),
      {call.deadline, {}, [&] {
         if (std::chrono::steady_clock::now() >= until && !written) {
           control_.AbortSave(guest_.uuid).IgnoreError();
         }
         return call.cancelled && call.cancelled();
       }});
  // If it stopped before the end, the rest goes nowhere; ending the save may
  // have to wait until somebody has read what libvirtd is writing.
  std::thread aborter([&] {
    (void)pthread_setname_np(pthread_self(), "moment");
    while (!told.ok() && !written) {
      control_.AbortSave(guest_.uuid).IgnoreError();
      (void)poll(nullptr, 0, kDrainMs);
    }
  });
  while (!written) {
    pipe.Drain();
  }
  aborter.join();
  writer.join();
  RETURN_IF_ERROR(told.ok() || absl::IsDataLoss(told.status())
                      ? stood.status()
                      : absl::OkStatus());
  RETURN_IF_ERROR_WITH(told.status(), "a saved moment");
  RETURN_IF_ERROR(stood.status());
  const auto& reply = told->saved_state();
  if (reply.kept_bytes() > limits_.max_saved_bytes) {
    return absl::DataLossError(
        "vmattest-memory-worker: a saved state that cannot be");
  }
  saved_ = std::move(file);
  SavedMoment moment;
  moment.stream_bytes = reply.stream_bytes();
  moment.kept_bytes = reply.kept_bytes();
  moment.took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  moment.stood = *stood;
  moment.vcpus = reply.vcpus();
  moment.vcpu_problem = reply.vcpu_problem();
  return moment;
}

// The worker has it open, too; what is not given back now goes with both.
void OpenGuest::ForgetMoment() {
  if (saved_.valid()) {
    [[maybe_unused]] const int emptied = ftruncate(saved_.get(), 0);
    saved_.Reset();
  }
}

}  // namespace vmattest::memory
