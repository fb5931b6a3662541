#include "gate/hook_folder.h"

#include <unistd.h>

#include <set>
#include <system_error>

#include "base/file.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "gate/hook_watch.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOurFile = "vmattest-hook.json";

std::string Measure(const fs::path& path) {
  const absl::StatusOr<Bytes> content = ReadFile(path, HookFolder::kMaxFile);
  if (!content.ok()) {
    return std::string(content.status().message());
  }
  std::error_code error;
  const fs::perms mode = fs::status(path, error).permissions();
  const bool runs =
      !error && (mode & (fs::perms::owner_exec | fs::perms::group_exec |
                         fs::perms::others_exec)) != fs::perms::none;
  return fmt::format("sha256:{}{}",
                     ToHex(Hash(HashAlgorithm::kSha256, *content)),
                     runs ? "" : " (not executable)");
}

void AddFiles(const fs::path& folder, bool deeper, std::set<fs::path>& files) {
  std::error_code error;
  for (fs::directory_iterator entries(folder, error);
       !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    std::error_code gone;
    if (deeper && entries->is_directory(gone)) {
      AddFiles(entries->path(), false, files);
    } else if (files.size() < HookFolder::kMostFiles &&
               !entries->is_directory(gone)) {
      files.insert(entries->path());
    }
  }
}

std::string ChangeOf(const std::map<std::string, std::string>& before,
                     const std::map<std::string, std::string>& now,
                     const std::string& file) {
  const auto was = before.find(file);
  const auto is = now.find(file);
  if (is == now.end()) {
    return was == before.end() ? "" : "removed";
  }
  if (was == before.end()) {
    return "new";
  }
  return was->second == is->second ? "" : "changed";
}

std::set<std::string> NamesOf(const std::map<std::string, std::string>& a,
                              const std::map<std::string, std::string>& b) {
  std::set<std::string> names;
  for (const auto* files : {&a, &b}) {
    for (const auto& [file, digest] : *files) {
      names.insert(file);
    }
  }
  return names;
}

}  // namespace

std::map<std::string, std::string> MeasureHooks(const fs::path& hooks) {
  std::set<fs::path> files;
  AddFiles(hooks, true, files);
  std::map<std::string, std::string> measured;
  for (const fs::path& file : files) {
    if (file != HookFile(hooks) && file != hooks / kOurFile) {
      measured.emplace(file, Measure(file));
    }
  }
  return measured;
}

absl::Status HookFolder::Check() {
  const std::map<std::string, std::string> now = MeasureHooks(hooks_);
  for (const std::string& file : NamesOf(told_, now)) {
    std::string change = ChangeOf(told_, now, file);
    if (change.empty()) {
      continue;
    }
    const auto is = now.find(file);
    note_({{"file", file.substr(0, 512)},
           {"digest", is == now.end() ? "" : is->second.substr(0, 512)},
           {"state", begun_ ? std::move(change) : "present"}});
  }
  told_ = now;
  if (!begun_) {
    begun_ = true;
    first_ = now;
  }
  for (const std::string& file : NamesOf(first_, now)) {
    if (const std::string change = ChangeOf(first_, now, file);
        !change.empty()) {
      return absl::FailedPreconditionError(fmt::format(
          "libvirt's hook {} is {} since vmattestd started; look at it, then "
          "restart vmattestd",
          file, change));
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::gate
