#ifndef VMATTEST_TESTS_FAKES_MEMORY_LOG_FOLDER_H_
#define VMATTEST_TESTS_FAKES_MEMORY_LOG_FOLDER_H_

#include <map>
#include <string>

#include "signing/log_folder.h"

namespace vmattest::testing {

// A folder that outlives who writes to it, as a disk does. One thread.
class MemoryLogFolder final : public signing::LogFolder {
 public:
  absl::StatusOr<std::vector<std::string>> List() override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files) {
      names.push_back(name);
    }
    return names;
  }
  absl::StatusOr<Bytes> Read(const std::string& name) override {
    return files.at(name);
  }
  absl::Status Write(const std::string& name, uint64_t offset,
                     ByteView bytes) override {
    Bytes& file = files[name];
    const size_t fits = std::min(bytes.size(), room);
    room -= fits;
    file.resize(offset);
    file.insert(file.end(), bytes.begin(),
                bytes.begin() + static_cast<ptrdiff_t>(fits));
    return fits == bytes.size() ? absl::OkStatus()
                                : absl::ResourceExhaustedError("disk full");
  }
  absl::Status Truncate(const std::string& name, uint64_t size) override {
    files.at(name).resize(size);
    return absl::OkStatus();
  }
  absl::Status KeepAside(const std::string& name, ByteView bytes) override {
    aside[name] = ToBytes(bytes);
    return absl::OkStatus();
  }
  absl::Status Remove(const std::string& name) override {
    files.erase(name);
    return absl::OkStatus();
  }
  // All records, in order of the files.
  [[nodiscard]] Bytes All() const {
    Bytes all;
    for (const auto& [name, bytes] : files) {
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }

  std::map<std::string, Bytes> files;
  std::map<std::string, Bytes> aside;
  size_t room = SIZE_MAX;  // bytes until the disk is full
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_MEMORY_LOG_FOLDER_H_
