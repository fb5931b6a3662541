#include "baseline/guest_report.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/uuid.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "vmattest/v1/guest_report.pb.h"
#include "wire/messages.h"

namespace vmattest::baseline {
namespace {

using wire::Malformed;

constexpr std::string_view kFormat = "vmattest/guest-report/v1";
constexpr size_t kMaxModules = 4096;
constexpr size_t kMaxTasks = 1u << 17;
constexpr uint32_t kMaxPid = 1u << 22;  // the kernel's PID_MAX_LIMIT
constexpr size_t kMaxModuleName = 64;   // MODULE_NAME_LEN
// Names of workers have what they do behind them; each byte may be "%xx".
constexpr size_t kMaxComm = 192;
constexpr size_t kMaxRelease = 128;
constexpr size_t kMaxCmdline = 4096;
constexpr size_t kDigest = 32;
constexpr size_t kMaxText = 16u << 20;
constexpr std::string_view kHeading = "PID";

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool IsModuleName(std::string_view name) {
  return !name.empty() && name.size() < kMaxModuleName && IsPrintable(name) &&
         name.find(' ') == std::string_view::npos;
}

bool IsComm(std::string_view comm) {
  return comm.size() <= kMaxComm && IsPrintable(comm) &&
         comm.find(' ') == std::string_view::npos;
}

template <class Items, class Less>
bool RisesStrictly(const Items& items, Less less) {
  return std::adjacent_find(items.begin(), items.end(),
                            [&](const auto& a, const auto& b) {
                              return !less(a, b);
                            }) == items.end();
}

bool ByPid(const GuestTask& a, const GuestTask& b) { return a.pid < b.pid; }

absl::Status CheckModules(const std::vector<std::string>& modules) {
  RETURN_IF_ERROR(wire::CheckCount("modules", modules.size(), kMaxModules));
  if (!std::all_of(modules.begin(), modules.end(), IsModuleName)) {
    return Malformed("modules", "a name that no module has");
  }
  return RisesStrictly(modules, std::less<std::string>())
             ? absl::OkStatus()
             : Malformed("modules", "must be sorted, each once");
}

absl::Status CheckTasks(const std::vector<GuestTask>& tasks) {
  RETURN_IF_ERROR(wire::CheckCount("tasks", tasks.size(), kMaxTasks));
  for (const GuestTask& task : tasks) {
    if (task.pid == 0 || task.pid > kMaxPid || !IsComm(task.comm)) {
      return Malformed("tasks",
                       fmt::format("a task that cannot be: {}", task.pid));
    }
  }
  return RisesStrictly(tasks, ByPid)
             ? absl::OkStatus()
             : Malformed("tasks", "must be sorted by pid, each once");
}

absl::Status Check(const GuestReport& report) {
  const absl::StatusOr<Uuid> uuid = ParseUuid(report.vm_uuid);
  if (!uuid.ok() || vmattest::ToString(*uuid) != report.vm_uuid) {
    return Malformed("vm_uuid", "must be a UUID in lower case");
  }
  if (report.after.size() != kDigest) {
    return Malformed("after", "must be SHA-256 of a snapshot's statement");
  }
  if (report.release.size() > kMaxRelease || !IsPrintable(report.release)) {
    return Malformed("kernel_release", "must be short and printable");
  }
  if (report.cmdline.size() > kMaxCmdline || !IsPrintable(report.cmdline)) {
    return Malformed("kernel_cmdline", "must be short and printable");
  }
  if (report.modules) {
    RETURN_IF_ERROR(CheckModules(*report.modules));
  }
  return report.tasks ? CheckTasks(*report.tasks) : absl::OkStatus();
}

// Calls `line(number, text)` for each that is not blank.
template <class Line>
absl::Status ForEachLine(std::string_view text, Line line) {
  if (text.size() > kMaxText) {
    return absl::InvalidArgumentError("the text is too long");
  }
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view one = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    one.remove_prefix(std::min(one.find_first_not_of(" \t\r"), one.size()));
    one = one.substr(0, one.find_last_not_of(" \t\r") + 1);
    if (!one.empty()) {
      RETURN_IF_ERROR(line(number, one));
    }
  }
  return absl::OkStatus();
}

absl::Status BadLine(size_t number, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("line {}: {}", number, what));
}

std::string EscapedComm(std::string_view comm) {
  std::string escaped;
  for (const char c : comm) {
    escaped += c > 0x20 && c < 0x7f && c != '%'
                   ? std::string(1, c)
                   : fmt::format("%{:02x}", static_cast<uint8_t>(c));
  }
  return escaped;
}

}  // namespace

Bytes Encode(const GuestReport& report) {
  v1::GuestReport message;
  message.set_format(std::string(kFormat));
  message.set_vm_uuid(report.vm_uuid);
  message.set_after(wire::ToField(report.after));
  message.set_kernel_release(report.release);
  message.set_kernel_cmdline(report.cmdline);
  if (report.modules) {
    message.mutable_modules()->mutable_names()->Assign(report.modules->begin(),
                                                       report.modules->end());
  }
  if (report.tasks) {
    v1::GuestTasks& tasks = *message.mutable_tasks();
    for (const GuestTask& task : *report.tasks) {
      v1::GuestTask& added = *tasks.add_tasks();
      added.set_pid(task.pid);
      added.set_comm(task.comm);
    }
  }
  return wire::Serialize(message);
}

absl::StatusOr<GuestReport> ParseGuestReport(ByteView bytes) {
  v1::GuestReport message;
  RETURN_IF_ERROR(
      wire::ParseMessage(bytes, kMaxGuestReport, "GuestReport", message));
  if (message.format() != kFormat) {
    return Malformed("GuestReport.format", message.format());
  }
  GuestReport report{message.vm_uuid(),
                     wire::FromField(message.after()),
                     message.kernel_release(),
                     message.kernel_cmdline(),
                     {},
                     {}};
  if (message.has_modules()) {
    report.modules.emplace(message.modules().names().begin(),
                           message.modules().names().end());
  }
  if (message.has_tasks()) {
    std::vector<GuestTask>& tasks = report.tasks.emplace();
    for (const v1::GuestTask& task : message.tasks().tasks()) {
      tasks.push_back({task.pid(), task.comm()});
    }
  }
  RETURN_IF_ERROR_WITH(Check(report), "GuestReport");
  RETURN_IF_ERROR(wire::CheckCanonical(bytes, Encode(report), "GuestReport"));
  return report;
}

Bytes NonceOf(const GuestReport& report) {
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, Encode(report));
  return {digest.begin(), digest.end()};
}

absl::StatusOr<std::vector<std::string>> ParseProcModules(
    std::string_view text) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(ForEachLine(
      text, [&](size_t number, std::string_view line) -> absl::Status {
        const std::string_view name = line.substr(0, line.find(' '));
        if (!IsModuleName(name) || names.size() == kMaxModules) {
          return BadLine(number, "no line of /proc/modules");
        }
        names.emplace_back(name);
        return absl::OkStatus();
      }));
  std::sort(names.begin(), names.end());
  RETURN_IF_ERROR(CheckModules(names));
  return names;
}

absl::StatusOr<std::vector<GuestTask>> ParseTaskList(std::string_view text) {
  std::vector<GuestTask> tasks;
  RETURN_IF_ERROR(ForEachLine(
      text, [&](size_t number, std::string_view line) -> absl::Status {
        if (number == 1 && line.substr(0, kHeading.size()) == kHeading) {
          return absl::OkStatus();
        }
        GuestTask task;
        const auto [end, error] =
            std::from_chars(line.data(), line.data() + line.size(), task.pid);
        line.remove_prefix(static_cast<size_t>(end - line.data()));
        const size_t name = line.find_first_not_of(" \t");
        if (error != std::errc() || name == 0 ||
            name == std::string_view::npos || tasks.size() == kMaxTasks) {
          return BadLine(number, "no pid and name of a task");
        }
        task.comm = EscapedComm(line.substr(name));
        tasks.push_back(std::move(task));
        return absl::OkStatus();
      }));
  std::sort(tasks.begin(), tasks.end(), ByPid);
  RETURN_IF_ERROR(CheckTasks(tasks));
  return tasks;
}

}  // namespace vmattest::baseline
