#include "gate/approvers.h"

#include <algorithm>
#include <system_error>

#include "fmt/format.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 10'000;

}  // namespace

absl::StatusOr<std::vector<fs::path>> FilesIn(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) {
    return files;
  }
  for (; !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    std::error_code gone;
    if (entries->is_regular_file(gone) && files.size() < kMaxFiles) {
      files.push_back(entries->path());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<reference::Reference> OpenReference(
    ByteView bytes, std::span<const document::PublicKey> approvers) {
  const document::Opened opened =
      document::Open(bytes, document::kReferencePayloadType, approvers);
  if (!opened.verdict.trusted()) {
    return absl::InvalidArgumentError(WhyNotTrusted(opened.verdict));
  }
  return reference::Parse(opened.payload);
}

std::string WhyNotTrusted(const Verdict& verdict) {
  return verdict.reasons.empty()
             ? "not trusted"
             : fmt::format("{}: {}", verdict.reasons.front().code,
                           verdict.reasons.front().element);
}

}  // namespace vmattest::gate
