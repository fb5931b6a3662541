#include "gate/running_check.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace vmattest::gate {
namespace {

void Add(Verdict& verdict, std::string code, std::string element,
         std::string expected, std::string found) {
  verdict.reasons.push_back({std::move(code), std::move(element),
                             std::move(expected), std::move(found)});
}

const std::string* Leaf(const ExpectedProcess& expected,
                        std::string_view path) {
  const auto it = std::find_if(
      expected.leaves.begin(), expected.leaves.end(),
      [path](const ConfigLeaf& leaf) { return leaf.path == path; });
  return it == expected.leaves.end() ? nullptr : &it->value;
}

// The value behind an option; null if it is not given.
const std::string* Option(const QemuFacts& qemu, std::string_view name) {
  const auto& arguments = qemu.arguments;
  const auto it = std::find(arguments.begin(), arguments.end(), name);
  return it == arguments.end() || std::next(it) == arguments.end()
             ? nullptr
             : &*std::next(it);
}

void CheckOption(const QemuFacts& qemu, const ExpectedProcess& expected,
                 std::string_view option, std::string_view path,
                 Verdict& verdict) {
  const std::string* const given = Option(qemu, option);
  const std::string* const wanted = Leaf(expected, path);
  const std::string found = given == nullptr ? "" : *given;
  const std::string want = wanted == nullptr ? "" : *wanted;
  if (found != want) {
    Add(verdict, "gate-process", std::string(path), want, found);
  }
}

bool IsIncoming(const std::string& argument) {
  return argument == "-incoming" || argument == "-loadvm";
}

void CheckMemory(const QemuFacts& qemu, bool incoming_allowed,
                 Verdict& verdict) {
  const auto it =
      std::find_if(qemu.arguments.begin(), qemu.arguments.end(), IsIncoming);
  if (it == qemu.arguments.end()) {
    return;
  }
  const std::string value =
      std::next(it) == qemu.arguments.end() ? "" : *std::next(it);
  const bool migration = *it == "-incoming" && value == "defer";
  if (!(incoming_allowed && migration)) {
    Add(verdict, "gate-saved-memory", "QEMU's command line",
        "a cold start, or memory that was registered",
        fmt::format("{} {}", *it, value));
  }
}

const OpenFile* OpenAt(const QemuFacts& qemu, const std::string& path) {
  const auto it =
      std::find_if(qemu.files.begin(), qemu.files.end(),
                   [&path](const OpenFile& file) { return file.path == path; });
  return it == qemu.files.end() ? nullptr : &*it;
}

// What the guest may write to changes from its first moment on.
bool GuestWritesTo(const QemuFacts& qemu, const FileIdentity& file) {
  return std::any_of(qemu.files.begin(), qemu.files.end(),
                     [&file](const OpenFile& open) {
                       return open.writable && open.device == file.device &&
                              open.inode == file.inode;
                     });
}

void CheckFile(const QemuFacts& qemu, const std::string& path,
               const MeasuredFile& measured, const Reread& reread,
               Verdict& verdict) {
  const FileIdentity& before = measured.identity;
  const OpenFile* const open = OpenAt(qemu, path);
  if (open != nullptr &&
      (open->device != before.device || open->inode != before.inode)) {
    Add(verdict, "gate-file-swapped", path, "the file that was measured",
        "QEMU has another one open");
    return;
  }
  const absl::StatusOr<FileIdentity> now = LookAt(path);
  if (!now.ok() || now->device != before.device || now->inode != before.inode) {
    Add(verdict, "gate-file-swapped", path, "the file that was measured",
        now.ok() ? "another file lies there"
                 : std::string(now.status().message()));
    return;
  }
  if (*now == before || GuestWritesTo(qemu, before)) {
    return;
  }
  FileIdentity relabelled = before;
  relabelled.ctime_ns = now->ctime_ns;
  if (*now != relabelled || !reread(path, measured)) {
    Add(verdict, "gate-file-changed", path, "unchanged since it was measured",
        "written to");
  }
}

}  // namespace

Verdict CheckRunning(const std::optional<QemuFacts>& qemu,
                     const ExpectedProcess& expected, const Reread& reread) {
  Verdict verdict;
  if (!qemu) {
    Add(verdict, "gate-process", "QEMU's process",
        "found by libvirt's pid file", "not found");
    return verdict;
  }
  const std::string* const uuid = Option(*qemu, "-uuid");
  if (uuid == nullptr || *uuid != expected.vm_uuid) {
    Add(verdict, "gate-process", "-uuid", expected.vm_uuid,
        uuid == nullptr ? "" : *uuid);
  }
  CheckMemory(*qemu, expected.incoming, verdict);
  CheckOption(*qemu, expected, "-kernel", "os/kernel", verdict);
  CheckOption(*qemu, expected, "-initrd", "os/initrd", verdict);
  CheckOption(*qemu, expected, "-append", "os/cmdline", verdict);
  if (const std::string* emulator = Leaf(expected, "emulator");
      emulator != nullptr) {
    const auto measured = expected.files.find(*emulator);
    const absl::StatusOr<FileIdentity> program = LookAt(qemu->program);
    if (measured != expected.files.end() &&
        (!program.ok() || program->inode != measured->second.identity.inode ||
         program->device != measured->second.identity.device)) {
      Add(verdict, "gate-process", "emulator", *emulator, qemu->program);
    }
  }
  for (const auto& [path, measured] : expected.files) {
    CheckFile(*qemu, path, measured, reread, verdict);
  }
  if (verdict.reasons.empty()) {
    verdict.outcome = Verdict::Outcome::kTrusted;
  }
  return verdict;
}

}  // namespace vmattest::gate
