#include <optional>
#include <utility>

#include "worker/guestfs/guestfs_appliance.h"
#include "worker/guestfs/helper_process.h"
#include "worker/guestfs/inspect_contents.h"
#include "worker/worker_program.h"

int main(int argc, char** argv) {
  using vmattest::worker::GuestfsAppliance;
  using vmattest::worker::RemoteAppliance;
  std::optional<vmattest::ipc::Channel> channel;
  vmattest::worker::WorkerProgram program;
  program.name = "vmattest-guestfs-worker";
  program.begin = [&channel]() -> absl::StatusOr<int> {
    ASSIGN_OR_RETURN(vmattest::UniqueFd end,
                     vmattest::worker::StartHelper(GuestfsAppliance::Start));
    channel.emplace(std::move(end), vmattest::worker::kMaxApplianceMessage);
    return channel->fd();
  };
  program.prepare = vmattest::worker::PrepareInspectDisk;
  program.handle = [&channel](const auto& request, auto descriptors,
                              const auto& progress) {
    RemoteAppliance appliance(*channel);
    return vmattest::worker::HandleInspectContents(
        appliance, request, std::move(descriptors), progress);
  };
  return vmattest::worker::RunWorker(argc, argv, program);
}
