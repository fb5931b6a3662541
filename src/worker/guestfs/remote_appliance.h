#ifndef VMATTEST_WORKER_GUESTFS_REMOTE_APPLIANCE_H_
#define VMATTEST_WORKER_GUESTFS_REMOTE_APPLIANCE_H_

#include <string>
#include <vector>

#include "base/handles.h"
#include "disk/appliance.h"
#include "ipc/channel.h"
#include "vmattest/internal/appliance.pb.h"

namespace vmattest::worker {

inline constexpr size_t kMaxApplianceMessage = 32U << 20;

// The appliance that another process runs (serve_appliance.h), through a
// channel; that process is not believed either. One thread; no deadlines: who
// started both ends them.
class RemoteAppliance final : public disk::Appliance {
 public:
  // Outlived by `channel`.
  explicit RemoteAppliance(ipc::Channel& channel) : channel_(channel) {}

  // First of all, with the descriptor of the image or its NBD socket: starts
  // it; the devices of the contents, in their order. Any error: it did not
  // start; the message says why.
  absl::StatusOr<std::vector<std::string>> Start(
      const internal::ApplianceRequest::Start& start, UniqueFd image);

  [[nodiscard]] absl::Status disk_failure() const override {
    return disk_failure_;
  }
  absl::Status ReadDevice(const std::string& device, uint64_t offset,
                          std::span<uint8_t> buffer) override;
  absl::StatusOr<Lvm> ReadLvm() override;
  absl::StatusOr<std::string> XfsLog(const std::string& device) override;
  absl::Status Mount(const std::string& device,
                     const std::string& options) override;
  absl::Status Unmount() override;
  absl::StatusOr<std::vector<Subvolume>> Subvolumes() override;
  absl::StatusOr<uint64_t> DefaultSubvolume() override;
  absl::StatusOr<File> Find(const std::string& path) override;
  absl::StatusOr<std::vector<File>> List(const std::string& folder) override;
  absl::Status ReadFile(const std::string& path, uint64_t offset,
                        std::span<uint8_t> buffer) override;

 private:
  absl::StatusOr<internal::ApplianceReply> Ask(
      const internal::ApplianceRequest& request,
      std::vector<UniqueFd> descriptors = {});
  absl::Status Fill(const internal::ApplianceRequest& request,
                    std::span<uint8_t> buffer);

  ipc::Channel& channel_;
  absl::Status disk_failure_;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_REMOTE_APPLIANCE_H_
