#include "baseline/cross_view.h"

#include <algorithm>
#include <iterator>

#include "baseline/reason_codes.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using snapshot::Severity;

constexpr std::string_view kCmdline = "kernel/cmdline";
constexpr std::string_view kModule = "module/";

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    if (end > 0) {
      words.emplace_back(text.substr(0, end));
    }
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return words;
}

Difference Contradiction(std::string_view code, std::string element,
                         std::string expected, std::string found) {
  return {code,
          Kind::kContradiction,
          Severity::kCritical,
          1,
          std::string(code),
          std::move(element),
          std::move(expected),
          std::move(found)};
}

const StateRecord* Find(const std::vector<StateRecord>& records,
                        std::string_view name) {
  const auto found =
      std::find_if(records.begin(), records.end(),
                   [&](const auto& record) { return record.name == name; });
  return found == records.end() ? nullptr : &*found;
}

// What was configured, in that order and with nothing between; a word that
// names the boot image may come first.
bool Agrees(const std::vector<std::string>& configured,
            std::vector<std::string> found) {
  if (!found.empty() && found.front().rfind("BOOT_IMAGE=", 0) == 0) {
    found.erase(found.begin());
  }
  return configured == found;
}

std::vector<std::string> ModulesIn(const std::vector<StateRecord>& records) {
  std::vector<std::string> modules;
  for (const StateRecord& record : records) {
    if (record.name.rfind(kModule, 0) == 0) {
      modules.push_back(record.name.substr(kModule.size()));
    }
  }
  std::sort(modules.begin(), modules.end());
  return modules;
}

std::vector<std::string> Without(const std::vector<std::string>& all,
                                 const std::vector<std::string>& cut) {
  std::vector<std::string> left;
  std::set_difference(all.begin(), all.end(), cut.begin(), cut.end(),
                      std::back_inserter(left));
  return left;
}

}  // namespace

std::vector<Difference> CrossView(const evidence::StateStatement& statement,
                                  const std::vector<StateRecord>& records,
                                  const OtherView& view) {
  std::vector<Difference> out;
  const StateRecord* cmdline = Find(records, kCmdline);
  if (view.cmdline && cmdline != nullptr &&
      !Agrees(Words(*view.cmdline), Words(cmdline->text))) {
    out.push_back(Contradiction(reason::kCrossViewCmdline, "kernel/cmdline",
                                *view.cmdline, cmdline->text));
  }
  const std::string& release = statement.kernel_release;
  if (!view.kernel_releases.empty() && !release.empty() &&
      std::find(view.kernel_releases.begin(), view.kernel_releases.end(),
                release) == view.kernel_releases.end()) {
    out.push_back(Contradiction(
        reason::kCrossViewKernelRelease, "kernel/release",
        fmt::format("{}", fmt::join(view.kernel_releases, " or ")), release));
  }
  if (view.modules && !records.empty()) {
    std::vector<std::string> told = *view.modules;
    std::sort(told.begin(), told.end());
    const std::vector<std::string> seen = ModulesIn(records);
    for (const std::string& name : Without(seen, told)) {
      out.push_back(Contradiction(reason::kCrossViewModules, "module/" + name,
                                  "", "in memory, and the guest hides it"));
    }
    for (const std::string& name : Without(told, seen)) {
      out.push_back(Contradiction(reason::kCrossViewModules, "module/" + name,
                                  "in memory", "the guest alone tells of it"));
    }
  }
  return out;
}

}  // namespace vmattest::baseline
