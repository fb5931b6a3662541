#ifndef VMATTEST_TESTS_FAKES_FAKE_APPLIANCE_H_
#define VMATTEST_TESTS_FAKES_FAKE_APPLIANCE_H_

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "disk/appliance.h"

namespace vmattest::testing {

// Devices, and what is in file systems, in memory. Paths begin with "/", a
// content that begins with "-> " is a link to an absolute path, one of "/" a
// folder; folders above files are there by themselves.
class FakeAppliance final : public disk::Appliance {
 public:
  using Files = std::map<std::string, std::string>;

  std::map<std::string, std::string> devices;  // their first bytes, then zeros
  // By "DEVICE OPTIONS"; what is not here cannot be mounted.
  std::map<std::string, Files> filesystems;
  std::map<std::string, std::string> xfs_logs;
  Lvm lvm;
  std::vector<Subvolume> subvolumes;
  absl::Status disk;                // what befell the disk
  absl::Status failure;             // of every call
  std::vector<std::string> mounts;  // in their order

  [[nodiscard]] absl::Status disk_failure() const override { return disk; }

  absl::Status ReadDevice(const std::string& device, uint64_t offset,
                          std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(failure);
    const auto found = devices.find(device);
    if (found == devices.end()) {
      return absl::DataLossError("no such device");
    }
    for (size_t i = 0; i < buffer.size(); ++i) {
      buffer[i] = offset + i < found->second.size()
                      ? static_cast<uint8_t>(found->second[offset + i])
                      : 0;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Lvm> ReadLvm() override {
    RETURN_IF_ERROR(failure);
    return lvm;
  }
  absl::StatusOr<std::string> XfsLog(const std::string& device) override {
    RETURN_IF_ERROR(failure);
    return xfs_logs[device];
  }
  absl::Status Mount(const std::string& device,
                     const std::string& options) override {
    RETURN_IF_ERROR(failure);
    mounts.push_back(device + " " + options);
    const auto found = filesystems.find(mounts.back());
    if (mounted_ != nullptr || found == filesystems.end()) {
      return absl::DataLossError("wrong fs type");
    }
    mounted_ = &found->second;
    return absl::OkStatus();
  }
  absl::Status Unmount() override {
    mounted_ = nullptr;
    return failure;
  }
  absl::StatusOr<std::vector<Subvolume>> Subvolumes() override {
    RETURN_IF_ERROR(failure);
    return subvolumes;
  }
  absl::StatusOr<uint64_t> DefaultSubvolume() override {
    RETURN_IF_ERROR(failure);
    return 5;
  }

  absl::StatusOr<File> Find(const std::string& path) override {
    RETURN_IF_ERROR(failure);
    std::string at = path;
    const auto found = mounted_->find(at);
    if (found != mounted_->end() && found->second.rfind("-> ", 0) == 0) {
      at = found->second.substr(3);
    }
    return Describe(at, at);
  }
  absl::StatusOr<std::vector<File>> List(const std::string& folder) override {
    RETURN_IF_ERROR(failure);
    const std::string prefix = folder == "/" ? "/" : folder + "/";
    std::map<std::string, File> files;
    for (const auto& [path, content] : *mounted_) {
      if (path.rfind(prefix, 0) == 0 && path.size() > prefix.size()) {
        const std::string name = path.substr(
            prefix.size(), path.find('/', prefix.size()) - prefix.size());
        ASSIGN_OR_RETURN(files[name], Describe(prefix + name, name));
      }
    }
    std::vector<File> out;
    for (auto& [name, file] : files) {
      out.push_back(std::move(file));
    }
    return out;
  }
  absl::Status ReadFile(const std::string& path, uint64_t offset,
                        std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(failure);
    const auto found = mounted_->find(path);
    if (found == mounted_->end() ||
        offset + buffer.size() > found->second.size()) {
      return absl::DataLossError("shorter than it says");
    }
    std::copy_n(found->second.begin() + static_cast<ptrdiff_t>(offset),
                buffer.size(), buffer.begin());
    return absl::OkStatus();
  }

 private:
  [[nodiscard]] absl::StatusOr<File> Describe(const std::string& path,
                                              const std::string& name) const {
    const auto found = mounted_->find(path);
    if (found != mounted_->end() && found->second != "/") {
      const bool is_link = found->second.rfind("-> ", 0) == 0;
      return File{.path = name,
                  .kind = is_link ? disk::FileEntry::Kind::kLink
                                  : disk::FileEntry::Kind::kFile,
                  .size = is_link ? 0 : found->second.size()};
    }
    const bool is_folder =
        path == "/" || found != mounted_->end() ||
        std::any_of(mounted_->begin(), mounted_->end(), [&](const auto& file) {
          return file.first.rfind(path + "/", 0) == 0;
        });
    if (!is_folder) {
      return absl::NotFoundError("there is no such file");
    }
    return File{
        .path = name, .kind = disk::FileEntry::Kind::kFolder, .size = 0};
  }

  const Files* mounted_ = nullptr;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_APPLIANCE_H_
