#ifndef VMATTEST_INSPECTION_WORKER_WORKER_POOL_H_
#define VMATTEST_INSPECTION_WORKER_WORKER_POOL_H_

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/handles.h"
#include "base/mutex.h"
#include "base/status.h"
#include "inspection/worker/launcher_setup.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"
#include "vmattest/internal/worker.pb.h"

namespace vmattest::inspection {

struct WorkerPoolOptions {
  std::string program;     // absolute path of vmattest-worker or the like
  std::string user;        // whom workers become; empty: they stay what we are
  size_t max_workers = 2;  // busy at one time
  size_t spares = 0;       // started ahead, waiting for their first request
  uint64_t memory_bytes = uint64_t{512} << 20;  // address space of one
  // Instead of that: of one's private memory, where it maps much else.
  std::optional<uint64_t> data_bytes;
  std::chrono::seconds cpu_time{300};  // of one
  size_t max_reply = 32U << 20;
  bool own_namespaces = false;  // where the kernel lets us; takes milliseconds
  uint64_t open_files = 64;
  // How long a file may get that it is handed to write to; 0: it writes none.
  uint64_t file_bytes = 0;
  std::optional<LauncherOptions> launcher;  // it starts programs of others
};

struct WorkerCall {
  MonotonicTime deadline = ipc::kNoDeadline;
  std::function<void(uint64_t bytes)> progress;  // may be empty
  std::function<bool()> cancelled;               // may be empty
};

class WorkerPool;

// A process that reads what a guest wrote (rule S25), for one use: ends with
// the object. One thread.
class Worker {
 public:
  // What `setup` holds is gone after the process.
  Worker(ipc::ChildProcess::Spawned spawned, LauncherSetup setup,
         const WorkerPoolOptions& options);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Sends `request` with `descriptors`, which are the worker's from then on,
  // and waits for the reply: one with a body that is no progress, its `code`
  // already turned into a status. No reply is believed: whoever takes values
  // out of it checks them.
  //   DEADLINE_EXCEEDED: past the deadline, or its processor time.
  //   CANCELLED. UNAVAILABLE: the worker died; the message says of what.
  //   DATA_LOSS: it sent what is no reply. Else what the worker says.
  // After an error other than the worker's own it is dead.
  absl::StatusOr<internal::WorkerReply> Call(
      const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
      const WorkerCall& call);

 private:
  friend class WorkerPool;
  absl::StatusOr<internal::WorkerReply> Receive(const WorkerCall& call);
  absl::Status AwaitMessage(const WorkerCall& call);
  // Why it can be used no more, instead of `status`.
  absl::Status Died(const absl::Status& status);

  // A process and what must outlive it.
  struct Running {
    LauncherSetup setup;
    ipc::ChildProcess process;
  };

  const std::string name_;  // of the program, for messages
  std::unique_ptr<Running> running_;
  ipc::Channel channel_;
  WorkerPool* pool_ = nullptr;  // that counts it as busy
};

// Starts workers and limits how many there are. Owns the `worker-spawn` thread,
// with which they all die. Callable from any thread.
class WorkerPool {
 public:
  explicit WorkerPool(WorkerPoolOptions options);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  // All taken workers must be gone. Stops.
  ~WorkerPool();

  // A worker that nobody used before. Waits while `max_workers` are busy.
  //   RESOURCE_EXHAUSTED: they still are at the deadline. CANCELLED.
  //   UNAVAILABLE: stopping. NOT_FOUND, PERMISSION_DENIED...: none can be
  //   started; the message has the program and the step.
  absl::StatusOr<std::unique_ptr<Worker>> Take(const WorkerCall& call)
      EXCLUDES_LOCK(mutex_);
  // Take() and one Call().
  absl::StatusOr<internal::WorkerReply> Run(
      const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
      const WorkerCall& call);
  // Kills all workers; whoever waits for one gets UNAVAILABLE. Idempotent.
  void Stop() EXCLUDES_LOCK(mutex_);

 private:
  friend class Worker;
  void Run() EXCLUDES_LOCK(mutex_);
  absl::StatusOr<std::unique_ptr<Worker>> Spawn() const;
  [[nodiscard]] bool Wanted() const REQUIRES_LOCK(mutex_);
  void Return(Worker* worker) EXCLUDES_LOCK(mutex_);

  const WorkerPoolOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::unique_ptr<Worker>> ready_ GUARDED_BY(mutex_);
  std::set<Worker*> busy_ GUARDED_BY(mutex_);
  // Killed; it takes a while until they are gone.
  std::vector<std::unique_ptr<Worker::Running>> dying_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  uint64_t failures_ GUARDED_BY(mutex_) = 0;
  absl::Status failure_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_WORKER_POOL_H_
