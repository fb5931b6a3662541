#include "capture/guard/process_guard.h"

#include <filesystem>
#include <utility>

#include "fmt/format.h"
#include "ipc/channel.h"
#include "ipc/child_process.h"

namespace vmattest::capture {
namespace {

constexpr std::chrono::seconds kStart{10};
constexpr std::chrono::seconds kEnd{90};
constexpr size_t kMaxMessage = 4096;

class ProcessGuard final : public PauseGuard {
 public:
  explicit ProcessGuard(ipc::ChildProcess::Spawned spawned)
      : process_(std::move(spawned.process)),
        channel_(std::move(spawned.channel), kMaxMessage) {}
  ProcessGuard(const ProcessGuard&) = delete;
  ProcessGuard& operator=(const ProcessGuard&) = delete;
  // Not disarmed: it resumes now, and is not to be killed before it has.
  ~ProcessGuard() override {
    channel_.Close();
    (void)process_.Wait(std::chrono::steady_clock::now() + kEnd);
  }

  absl::Status Arm(const Uuid& uuid, const std::string& uri,
                   const std::filesystem::path& streams) {
    const MonotonicTime deadline = std::chrono::steady_clock::now() + kStart;
    RETURN_IF_ERROR(channel_.Send(
        {ToBytes(fmt::format("{} {}\n{}", ToString(uuid), uri,
                             streams.empty()
                                 ? std::string()
                                 : (streams / ToString(uuid)).string())),
         {}},
        deadline));
    return channel_.Receive(deadline).status();
  }
  void Disarm() override {
    (void)channel_.Send({ToBytes("done"), {}},
                        std::chrono::steady_clock::now() + kStart);
  }

 private:
  ipc::ChildProcess process_;
  ipc::Channel channel_;
};

}  // namespace

PauseGuardMaker ProcessGuards(std::string program, std::string uri,
                              std::filesystem::path streams) {
  return [program = std::move(program), uri = std::move(uri),
          streams = std::move(streams)](
             const Uuid& uuid) -> absl::StatusOr<std::unique_ptr<PauseGuard>> {
    ipc::ChildOptions options;
    options.program = program;
    options.arguments = {std::filesystem::path(program).filename().string()};
    options.outlives_us = true;
    ASSIGN_OR_RETURN(ipc::ChildProcess::Spawned spawned,
                     ipc::ChildProcess::Spawn(options));
    auto guard = std::make_unique<ProcessGuard>(std::move(spawned));
    RETURN_IF_ERROR_WITH(guard->Arm(uuid, uri, streams),
                         "vmattest-resume-guard");
    return guard;
  };
}

}  // namespace vmattest::capture
