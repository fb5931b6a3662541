#include "baseline/cross_view.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>

#include "baseline/reason_codes.h"
#include "crypto/digest.h"
#include "fmt/format.h"

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using snapshot::Severity;

constexpr std::string_view kCmdline = "kernel/cmdline";
constexpr std::string_view kRelease = "kernel/release";
constexpr std::string_view kModule = "module/";
constexpr std::string_view kProcess = "process/";
constexpr std::string_view kComm = "comm=";

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

// Empty: no such record.
std::string TextOf(const std::vector<StateRecord>& records,
                   std::string_view name) {
  const auto found =
      std::find_if(records.begin(), records.end(),
                   [&](const auto& record) { return record.name == name; });
  return found == records.end() ? "" : found->text;
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

std::vector<std::string> ModulesIn(const MemoryLook& look) {
  std::vector<std::string> modules;
  for (const StateRecord& record : look.records) {
    if (record.name.rfind(kModule, 0) == 0) {
      modules.push_back(record.name.substr(kModule.size()));
    }
  }
  std::sort(modules.begin(), modules.end());
  return modules;
}

// Names of tasks by pid, as memory has them; empty: the policy did not ask. The
// idle task is no task of /proc.
using Tasks = std::map<uint32_t, std::string>;
Tasks TasksIn(const MemoryLook& look) {
  Tasks tasks;
  for (const StateRecord& record : look.records) {
    uint32_t pid = 0;
    if (record.name.rfind(kProcess, 0) != 0 ||
        std::from_chars(record.name.data() + kProcess.size(),
                        record.name.data() + record.name.size(), pid)
                .ec != std::errc() ||
        pid == 0) {
      continue;
    }
    for (const std::string& word : Words(record.text)) {
      if (word.rfind(kComm, 0) == 0) {
        tasks[pid] = word.substr(kComm.size());
      }
    }
    tasks.try_emplace(pid);
  }
  return tasks;
}

Tasks TasksIn(const GuestReport& report) {
  Tasks tasks;
  for (const GuestTask& task : *report.tasks) {
    tasks.emplace(task.pid, task.comm);
  }
  return tasks;
}

std::vector<std::string> Both(const std::vector<std::string>& a,
                              const std::vector<std::string>& b) {
  std::vector<std::string> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                        std::back_inserter(both));
  return both;
}

Tasks Both(const Tasks& a, const Tasks& b) {
  Tasks both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                        std::inserter(both, both.end()));
  return both;
}

bool Has(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

// Workers of the kernel have what they do behind their name, and `ps` says of
// some that they are gone. Of names with bytes that are escaped each program
// makes something else.
bool MayBeCalled(const std::string& in_memory, const std::string& told) {
  return in_memory.find('%') != std::string::npos ||
         told.compare(0, in_memory.size(), in_memory) == 0;
}

constexpr const char* kHidden = "in memory, and the guest does not tell of it";
constexpr const char* kGhost = "the guest alone tells of it";

class ReportComparer {
 public:
  explicit ReportComparer(const Chain& chain) : chain_(chain) {}

  std::vector<Difference> Run() {
    if (const std::string why = OutOfOrder(); !why.empty()) {
      return {{reason::kCrossViewOrder, Kind::kUnmeasured, Severity::kInfo, 1,
               std::string(reason::kCrossViewOrder), "guest-report",
               "a snapshot, then the report, then the snapshot", why}};
    }
    CompareText(reason::kCrossViewKernelRelease, kRelease,
                chain_.report.release);
    CompareText(reason::kCrossViewCmdline, kCmdline, chain_.report.cmdline);
    if (chain_.report.modules) {
      CompareModules(*chain_.report.modules);
    }
    if (chain_.report.tasks) {
      CompareTasks();
    }
    return std::move(out_);
  }

 private:
  std::string OutOfOrder() const {
    const auto& [earlier, before, report, after] = chain_;
    if (report.after != before.digest) {
      return "the report names another snapshot before it";
    }
    if (before.vm_uuid != after.vm_uuid || report.vm_uuid != after.vm_uuid ||
        (earlier != nullptr && earlier->vm_uuid != after.vm_uuid)) {
      return "they are of different VMs";
    }
    if (before.run != after.run) {
      return "the VM was started anew meanwhile";
    }
    if (evidence::IsResetBetween(before.boot, after.boot)) {
      return "the VM was reset meanwhile";
    }
    if (after.nonce != NonceOf(report)) {
      return "the snapshot does not answer the report's nonce";
    }
    if (earlier != nullptr && before.nonce != NonceOf(*earlier)) {
      return "the snapshot before does not answer the earlier report's nonce";
    }
    return "";
  }

  void CompareText(std::string_view code, std::string_view record,
                   const std::string& told) {
    const std::string seen = TextOf(chain_.after.records, record);
    if (told.empty() || seen.empty() ||
        seen != TextOf(chain_.before.records, record)) {
      return;
    }
    if (Words(seen) != Words(told)) {
      out_.push_back(Contradiction(code, std::string(record), seen,
                                   fmt::format("the guest says {}", told)));
    }
  }

  void CompareModules(const std::vector<std::string>& told) {
    const std::vector<std::string> before = ModulesIn(chain_.before);
    const std::vector<std::string> after = ModulesIn(chain_.after);
    for (const std::string& name : Both(before, after)) {
      if (!Has(told, name)) {
        AddModule(name, "told of", kHidden);
      }
    }
    if (chain_.earlier == nullptr || !chain_.earlier->modules) {
      return;
    }
    for (const std::string& name : Both(*chain_.earlier->modules, told)) {
      if (!Has(before, name) && !Has(after, name)) {
        AddModule(name, "in memory", kGhost);
      }
    }
  }
  void AddModule(const std::string& name, const char* expected,
                 const char* found) {
    out_.push_back(Contradiction(reason::kCrossViewModules,
                                 std::string(kModule) + name, expected, found));
  }

  void CompareTasks() {
    const Tasks before = TasksIn(chain_.before);
    const Tasks after = TasksIn(chain_.after);
    if (before.empty() || after.empty()) {
      return;
    }
    const Tasks told = TasksIn(chain_.report);
    for (const auto& [pid, comm] : Both(before, after)) {
      const auto found = told.find(pid);
      if (found == told.end()) {
        AddTask(pid, comm, "told of", kHidden);
      } else if (!MayBeCalled(comm, found->second)) {
        AddTask(pid, comm, comm,
                fmt::format("the guest says {}", found->second));
      }
    }
    if (chain_.earlier == nullptr || !chain_.earlier->tasks) {
      return;
    }
    for (const auto& [pid, comm] : Both(TasksIn(*chain_.earlier), told)) {
      if (before.count(pid) == 0 && after.count(pid) == 0) {
        AddTask(pid, comm, "in memory", kGhost);
      }
    }
  }
  void AddTask(uint32_t pid, const std::string& comm,
               const std::string& expected, const std::string& found) {
    out_.push_back(Contradiction(reason::kCrossViewTasks,
                                 fmt::format("process/{} ({})", pid, comm),
                                 expected, found));
  }

  const Chain& chain_;
  std::vector<Difference> out_;
};

}  // namespace

std::optional<Difference> CompareConfigured(
    const std::vector<StateRecord>& records, const std::string& cmdline) {
  const auto found =
      std::find_if(records.begin(), records.end(),
                   [](const auto& record) { return record.name == kCmdline; });
  if (found == records.end() || Agrees(Words(cmdline), Words(found->text))) {
    return std::nullopt;
  }
  return Contradiction(reason::kCrossViewCmdline, std::string(kCmdline),
                       cmdline, found->text);
}

MemoryLook LookOf(ByteView payload, const evidence::StateStatement& statement,
                  std::vector<StateRecord> records) {
  // Nothing else is compared, and it may be kept for long.
  std::erase_if(records, [](const StateRecord& record) {
    return record.name != kRelease && record.name != kCmdline &&
           record.name.rfind(kModule, 0) != 0 &&
           record.name.rfind(kProcess, 0) != 0;
  });
  return {statement.header.vm_uuid,
          statement.run,
          Hash(HashAlgorithm::kSha256, payload),
          statement.header.nonce,
          std::move(records),
          statement.boot};
}

std::vector<Difference> CompareReport(const Chain& chain) {
  return ReportComparer(chain).Run();
}

}  // namespace vmattest::baseline
