#include "hook/qemu_facts.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "fmt/format.h"
#include "gate/protocol/process_facts.h"

namespace vmattest::hook {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxArguments = 2u << 20;

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
  gate::QemuFacts facts;
  ASSIGN_OR_RETURN(facts.pid, PidOf(run_dir, domain));
  const fs::path process = fmt::format("/proc/{}", facts.pid);
  std::error_code error;
  facts.program = fs::read_symlink(process / "exe", error).string();
  if (error) {
    return ErrnoStatus(error.value(), process.string());
  }
  ASSIGN_OR_RETURN(const std::string line,
                   gate::ReadUnsized(process / "cmdline", kMaxArguments));
  for (size_t from = 0; from < line.size();) {
    const size_t end = std::min(line.find('\0', from), line.size());
    facts.arguments.push_back(line.substr(from, end - from));
    from = end + 1;
  }
  ASSIGN_OR_RETURN(facts.files, gate::ReadOpenFiles(process));
  ASSIGN_OR_RETURN(facts.start_ticks, gate::StartTicks(process));
  return facts;
}

}  // namespace vmattest::hook
