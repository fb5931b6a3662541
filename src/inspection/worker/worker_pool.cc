#include "inspection/worker/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "fmt/format.h"

namespace vmattest::inspection {
namespace {

// How often somebody who waits is asked whether he still wants to.
constexpr std::chrono::milliseconds kAskCancelled{50};
// What a dying worker gets to be gone by itself, so that its end is known.
constexpr std::chrono::milliseconds kDying{1000};
constexpr std::chrono::seconds kPauseAfterFailure{1};
constexpr int kMaxCode = static_cast<int>(absl::StatusCode::kUnauthenticated);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // shadow memory is address space, too
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

bool IsCancelled(const WorkerCall& call) {
  return call.cancelled && call.cancelled();
}

// When to look up next from a wait that `call` bounds.
MonotonicTime NextLook(const WorkerCall& call) {
  return call.cancelled ? std::min(call.deadline, Now() + kAskCancelled)
                        : call.deadline;
}

absl::Status Cancelled() { return absl::CancelledError("cancelled"); }

std::string NameOf(const std::string& program) {
  return std::filesystem::path(program).filename().string();
}

absl::Status StatusOfReply(const internal::WorkerReply& reply) {
  const bool known = reply.code() > 0 && reply.code() <= kMaxCode;
  return {known ? static_cast<absl::StatusCode>(reply.code())
                : absl::StatusCode::kUnknown,
          reply.message()};
}

}  // namespace

Worker::Worker(ipc::ChildProcess::Spawned spawned, LauncherSetup setup,
               const WorkerPoolOptions& options)
    : name_(NameOf(options.program)),
      running_(new Running{std::move(setup), std::move(spawned.process)}),
      channel_(std::move(spawned.channel), options.max_reply) {}

Worker::~Worker() {
  if (pool_ != nullptr) {
    pool_->Return(this);
  }
}

absl::Status Worker::Died(const absl::Status& status) {
  if (absl::IsUnavailable(status)) {  // it closed the channel: it ends
    if (running_->process.Wait(Now() + kDying).ok()) {
      const std::string end = *running_->process.Wait(Now());
      const std::string text = fmt::format("{} died: {}", name_, end);
      return end.find("SIGXCPU") != std::string::npos
                 ? absl::DeadlineExceededError(text)
                 : absl::UnavailableError(text);
    }
  }
  running_->process.Kill();
  return Annotate(status, name_);
}

absl::Status Worker::AwaitMessage(const WorkerCall& call) {
  while (true) {
    if (IsCancelled(call)) {
      return Cancelled();
    }
    const absl::Status status = channel_.AwaitMessage(NextLook(call));
    if (!absl::IsDeadlineExceeded(status)) {
      return status;
    }
    if (Now() >= call.deadline) {
      return absl::DeadlineExceededError("took too long");
    }
  }
}

absl::StatusOr<internal::WorkerReply> Worker::Receive(const WorkerCall& call) {
  RETURN_IF_ERROR(AwaitMessage(call));
  ASSIGN_OR_RETURN(const ipc::Message message, channel_.Receive(call.deadline));
  internal::WorkerReply reply;
  if (!message.descriptors.empty() ||
      !reply.ParseFromArray(message.bytes.data(),
                            static_cast<int>(message.bytes.size()))) {
    return absl::DataLossError("sent what is no reply");
  }
  return reply;
}

absl::StatusOr<internal::WorkerReply> Worker::Call(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
    const WorkerCall& call) {
  ipc::Message message{Bytes(request.ByteSizeLong()), std::move(descriptors)};
  (void)request.SerializeToArray(message.bytes.data(),
                                 static_cast<int>(message.bytes.size()));
  if (const absl::Status sent = channel_.Send(message, call.deadline);
      !sent.ok()) {
    return Died(sent);
  }
  message.descriptors.clear();
  while (true) {
    absl::StatusOr<internal::WorkerReply> reply = Receive(call);
    if (!reply.ok()) {
      return Died(reply.status());
    }
    if (reply->code() != 0) {
      return StatusOfReply(*reply);
    }
    if (!reply->has_progress()) {
      return reply;
    }
    if (call.progress) {
      call.progress(reply->progress().bytes());
    }
  }
}

WorkerPool::WorkerPool(WorkerPoolOptions options)
    : options_(std::move(options)), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "worker-spawn");
}

WorkerPool::~WorkerPool() {
  Stop();
  thread_.join();
}

void WorkerPool::Stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  for (const Worker* worker : busy_) {
    worker->running_->process.Kill();
  }
  changed_.NotifyAll();
}

absl::StatusOr<std::unique_ptr<Worker>> WorkerPool::Spawn() const {
  ipc::ChildOptions child;
  child.program = options_.program;
  child.arguments = {NameOf(options_.program)};
  if (!options_.user.empty()) {
    ASSIGN_OR_RETURN(child.run_as, ipc::FindUser(options_.user));
  }
  if (!kSanitized && options_.data_bytes) {
    child.data = options_.data_bytes;
  } else if (!kSanitized) {
    child.address_space = options_.memory_bytes;
  }
  child.cpu_time = options_.cpu_time;
  child.open_files = options_.open_files;
  child.no_files = options_.file_bytes == 0;
  if (options_.file_bytes != 0) {
    child.file_size = options_.file_bytes;
  }
  child.own_namespaces = options_.own_namespaces;
  LauncherSetup setup;
  if (options_.launcher) {
    ASSIGN_OR_RETURN(setup, PrepareLauncher(*options_.launcher, child));
  }
  ASSIGN_OR_RETURN(ipc::ChildProcess::Spawned spawned,
                   ipc::ChildProcess::Spawn(child));
  return std::make_unique<Worker>(std::move(spawned), std::move(setup),
                                  options_);
}

bool WorkerPool::Wanted() const {
  const size_t free =
      options_.max_workers - std::min(options_.max_workers, busy_.size());
  return ready_.size() < options_.spares + std::min(waiting_, free);
}

void WorkerPool::Run() {
  mutex_.Lock();
  while (!stopping_) {
    if (!Wanted()) {
      std::vector<std::unique_ptr<Worker::Running>> dying;
      dying.swap(dying_);
      if (dying.empty()) {
        changed_.Wait(mutex_);
      } else {
        mutex_.Unlock();
        dying.clear();  // waits
        mutex_.Lock();
      }
      continue;
    }
    mutex_.Unlock();
    absl::StatusOr<std::unique_ptr<Worker>> worker = Spawn();
    mutex_.Lock();
    if (worker.ok()) {
      ready_.push_back(*std::move(worker));
      changed_.NotifyAll();
      continue;
    }
    failure_ = worker.status();
    ++failures_;
    changed_.NotifyAll();
    // Whoever comes now may have better luck; a spare is not so urgent.
    const MonotonicTime again = Now() + kPauseAfterFailure;
    while (!stopping_ && waiting_ == 0 && changed_.WaitUntil(mutex_, again)) {
    }
  }
  ready_.clear();
  mutex_.Unlock();
}

absl::StatusOr<std::unique_ptr<Worker>> WorkerPool::Take(
    const WorkerCall& call) {
  const MutexLock lock(mutex_);
  const uint64_t failures = failures_;
  ++waiting_;
  changed_.NotifyAll();
  absl::Status status;
  while (!stopping_ && status.ok() &&
         (ready_.empty() || busy_.size() >= options_.max_workers)) {
    if (failures_ != failures) {
      status = failure_;
    } else if (Now() >= call.deadline) {
      status = absl::ResourceExhaustedError(
          fmt::format("all {} of {} are busy", options_.max_workers,
                      NameOf(options_.program)));
    } else if (IsCancelled(call)) {
      status = Cancelled();
    } else if (NextLook(call) == ipc::kNoDeadline) {
      changed_.Wait(mutex_);
    } else {
      (void)changed_.WaitUntil(mutex_, NextLook(call));
    }
  }
  --waiting_;
  if (stopping_) {
    return absl::UnavailableError("shutting down");
  }
  RETURN_IF_ERROR(status);
  std::unique_ptr<Worker> worker = std::move(ready_.front());
  ready_.pop_front();
  worker->pool_ = this;
  busy_.insert(worker.get());
  changed_.NotifyAll();
  return worker;
}

void WorkerPool::Return(Worker* worker) {
  worker->running_->process.Kill();
  const MutexLock lock(mutex_);
  busy_.erase(worker);
  dying_.push_back(std::move(worker->running_));
  changed_.NotifyAll();
}

absl::StatusOr<internal::WorkerReply> WorkerPool::Run(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
    const WorkerCall& call) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Worker> worker, Take(call));
  return worker->Call(request, std::move(descriptors), call);
}

}  // namespace vmattest::inspection
