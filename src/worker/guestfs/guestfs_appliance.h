#ifndef VMATTEST_WORKER_GUESTFS_GUESTFS_APPLIANCE_H_
#define VMATTEST_WORKER_GUESTFS_GUESTFS_APPLIANCE_H_

#include <memory>
#include <string>
#include <vector>

#include "disk/appliance.h"
#include "worker/guestfs/nbd_server.h"
#include "worker/guestfs/serve_appliance.h"

struct guestfs_h;

namespace vmattest::worker {

// libguestfs's appliance: a kernel of the host's distribution in a QEMU of its
// own (guestfs(3)), without network, with the contents as its disks. libguestfs
// writes into its temporary folder only, which the environment names (TMPDIR,
// LIBGUESTFS_CACHEDIR, HOME, XDG_RUNTIME_DIR); the appliance is the one that
// LIBGUESTFS_PATH has, or is put together there by supermin. One thread, beside
// that of the NBD server.
class GuestfsAppliance final : public disk::Appliance {
 public:
  // `image` is a raw image or a connected NBD socket, as the request says.
  // DATA_LOSS: libguestfs's own sentence. Else what reaching the image gave.
  static absl::StatusOr<StartedAppliance> Start(
      const internal::ApplianceRequest::Start& start, UniqueFd image);
  GuestfsAppliance(const GuestfsAppliance&) = delete;
  GuestfsAppliance& operator=(const GuestfsAppliance&) = delete;
  ~GuestfsAppliance() override;

  [[nodiscard]] absl::Status disk_failure() const override;
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
  struct Parts;
  explicit GuestfsAppliance(std::unique_ptr<Parts> parts);

  absl::StatusOr<std::vector<std::string>> Launch(size_t contents,
                                                  const std::string& socket,
                                                  bool force_tcg);
  [[nodiscard]] absl::Status Failure() const;
  absl::Status AddLogicalVolumes(Lvm& lvm);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_GUESTFS_APPLIANCE_H_
