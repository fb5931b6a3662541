#ifndef VMATTEST_SIGNING_LOG_FOLDER_H_
#define VMATTEST_SIGNING_LOG_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::signing {

// The files of the host event log. What returned OK survives a power cut.
// One thread. RESOURCE_EXHAUSTED: the disk is full.
class LogFolder {
 public:
  virtual ~LogFolder() = default;
  // Names of log files (IsLogFileName), sorted; nothing else that lies there.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
  virtual absl::StatusOr<Bytes> Read(const std::string& name) = 0;
  // Writes at `offset`, where the file ends; makes it at offset 0. After an
  // error any part of it may be there.
  virtual absl::Status Write(const std::string& name, uint64_t offset,
                             ByteView bytes) = 0;
  // Cuts the file off at `size`.
  virtual absl::Status Truncate(const std::string& name, uint64_t size) = 0;
  // Keeps bytes that are no part of the log any more in a file of their own.
  virtual absl::Status KeepAside(const std::string& name, ByteView bytes) = 0;
  virtual absl::Status Remove(const std::string& name) = 0;
};

// A log file is named by its first record's number: 20 digits and ".cel".
std::string LogFileName(uint64_t first_record);
bool IsLogFileName(std::string_view name);

inline constexpr size_t kMaxLogFileSize = 1u << 30;

class DiskLogFolder final : public LogFolder {
 public:
  // Made when it is written to, mode 0750: another process reads there.
  explicit DiskLogFolder(std::filesystem::path folder)
      : folder_(std::move(folder)) {}

  absl::StatusOr<std::vector<std::string>> List() override;
  absl::StatusOr<Bytes> Read(const std::string& name) override;
  absl::Status Write(const std::string& name, uint64_t offset,
                     ByteView bytes) override;
  absl::Status Truncate(const std::string& name, uint64_t size) override;
  absl::Status KeepAside(const std::string& name, ByteView bytes) override;
  absl::Status Remove(const std::string& name) override;

 private:
  absl::Status SyncFolder() const;

  const std::filesystem::path folder_;
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_LOG_FOLDER_H_
