#include "hook/qemu_facts.h"

#include <charconv>

#include "fmt/format.h"
#include "gate/protocol/process_facts.h"

namespace vmattest::hook {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<int64_t> PidOf(const fs::path& run_dir,
                              const std::string& domain) {
  if (domain.empty() || domain.find('/') != std::string::npos) {
    return absl::InvalidArgumentError("a domain's name without '/'");
  }
  ASSIGN_OR_RETURN(const std::string text,
                   gate::ReadUnsized(run_dir / (domain + ".pid"), 64));
  int64_t pid = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), pid);
  if (parsed.ec != std::errc() || pid <= 1) {
    return absl::InvalidArgumentError("the pid file holds no number");
  }
  return pid;
}

}  // namespace

absl::StatusOr<gate::QemuFacts> GatherQemuFacts(const fs::path& run_dir,
                                                const std::string& domain) {
  ASSIGN_OR_RETURN(const int64_t pid, PidOf(run_dir, domain));
  return gate::ReadQemuFacts(fmt::format("/proc/{}", pid), pid);
}

}  // namespace vmattest::hook
