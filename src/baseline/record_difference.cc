#include "baseline/record_difference.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "baseline/code_records.h"

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using snapshot::Severity;
using RecordKind = RecordDifference::Kind;

constexpr std::string_view kModuleCode = "code/module/";
constexpr std::string_view kCpu = "cpu/";
constexpr std::string_view kStart = "start";

bool IsOf(std::string_view name, std::string_view family) {
  return name.substr(0, family.size()) == family;
}

using Fields = std::map<std::string, std::string, std::less<>>;

// Of "name=value name=value".
Fields FieldsOf(std::string_view text) {
  Fields fields;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    const size_t equals = word.find('=');
    if (equals != std::string_view::npos) {
      fields.emplace(word.substr(0, equals), word.substr(equals + 1));
    }
  }
  return fields;
}

uint64_t Hex(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

bool GainedCapabilities(Fields& before, Fields& after) {
  for (const char* name : {"cap_effective", "cap_permitted"}) {
    if ((Hex(after[name]) & ~Hex(before[name])) != 0) {
      return true;
    }
  }
  return false;
}

bool BecameRoot(Fields& before, Fields& after) {
  for (const char* name : {"uid", "euid", "gid", "egid"}) {
    if (before[name] != "0" && after[name] == "0") {
      return true;
    }
  }
  return false;
}

// Whether one number was given to two processes: not as records without
// `start`, of an older snapshot, can tell.
bool AnotherProcess(const Fields& before, const Fields& after) {
  const auto first = before.find(kStart);
  const auto second = after.find(kStart);
  return first != before.end() && second != after.end() &&
         first->second != second->second;
}

void JudgeProcess(RecordDifference& difference) {
  Fields before = FieldsOf(difference.before);
  Fields after = FieldsOf(difference.after);
  for (const auto& [name, value] : before) {
    if (name != kStart && after[name] != value) {
      difference.fields.push_back(name);
    }
  }
  if (AnotherProcess(before, after)) {
    difference.kind = RecordKind::kExpected;
    return;
  }
  const bool same_program =
      before["comm"] == after["comm"] && before["parent"] == after["parent"];
  const bool raised =
      BecameRoot(before, after) || GainedCapabilities(before, after);
  difference.kind = raised ? RecordKind::kData : RecordKind::kExpected;
  difference.severity = !raised        ? Severity::kInfo
                        : same_program ? Severity::kCritical
                                       : Severity::kLow;
}

void JudgeModule(RecordDifference& difference) {
  const bool hidden = IsOf(difference.after, "hidden");
  const bool both = !difference.before.empty() && !difference.after.empty();
  difference.kind = hidden || both ? RecordKind::kCode : RecordKind::kExpected;
  difference.severity = hidden ? Severity::kHigh
                        : both ? Severity::kMedium
                               : Severity::kInfo;
}

// Modules come and go, and more may be known now than was; not less.
void JudgeCode(RecordDifference& difference) {
  const bool gone = difference.after.empty();
  if (difference.before.empty() || !IsMeasuredCode(difference.before) ||
      (gone && IsOf(difference.name, kModuleCode))) {
    difference.kind = RecordKind::kExpected;
  } else if (gone || !IsMeasuredCode(difference.after)) {
    difference.kind = RecordKind::kUnmeasured;
    difference.severity = Severity::kHigh;
  } else {
    difference.kind = RecordKind::kCode;
    difference.severity = Severity::kCritical;
  }
}

// Where a system call, a trap or an interrupt leads.
bool IsEntryRegister(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('/') + 1);
  return last == "lstar" || last == "cstar" || last == "sysenter_eip" ||
         last == "idtr";
}

// "cpu/0/" of "cpu/0/lstar".
std::string_view VcpuOf(std::string_view name) {
  return name.substr(0, name.find('/', kCpu.size()) + 1);
}

bool HasAnyOf(std::string_view family, std::span<const StateRecord> records) {
  const auto first =
      std::lower_bound(records.begin(), records.end(), family,
                       [](const StateRecord& record, std::string_view name) {
                         return std::string_view(record.name) < name;
                       });
  return first != records.end() && IsOf(first->name, family);
}

// A snapshot without registers, or a vCPU that the host took away, is one
// difference, not as many as there are registers: "cpu", "cpu/1".
std::string WhatIsGone(const std::string& name,
                       std::span<const StateRecord> after) {
  if (!IsOf(name, kCpu)) {
    return name;
  }
  const std::string_view vcpu = VcpuOf(name);
  return !HasAnyOf(kCpu, after)   ? "cpu"
         : !HasAnyOf(vcpu, after) ? std::string(vcpu.substr(0, vcpu.size() - 1))
                                  : name;
}

// More may be known now than was; not less.
void JudgeRegister(RecordDifference& difference) {
  const bool vcpu =
      difference.name.size() > kCpu.size() && VcpuOf(difference.name).empty();
  if (difference.before.empty() || vcpu) {
    difference.kind = RecordKind::kExpected;
  } else if (difference.after.empty()) {
    difference.kind = RecordKind::kUnmeasured;
    difference.severity = Severity::kHigh;
  } else if (IsEntryRegister(difference.name)) {
    difference.kind = RecordKind::kCode;
    difference.severity = Severity::kCritical;
  } else {
    difference.kind = RecordKind::kData;
    difference.severity = Severity::kHigh;
  }
}

void Judge(RecordDifference& difference) {
  const bool both = !difference.before.empty() && !difference.after.empty();
  if (IsOf(difference.name, kCodeRecord)) {
    JudgeCode(difference);
  } else if (difference.name == "cpu" || IsOf(difference.name, kCpu)) {
    JudgeRegister(difference);
  } else if (IsOf(difference.name, "process/")) {
    if (both) {
      JudgeProcess(difference);
    } else {
      difference.kind = RecordKind::kExpected;
    }
  } else if (IsOf(difference.name, "module/")) {
    JudgeModule(difference);
  } else if (IsOf(difference.name, "syscall/") ||
             IsOf(difference.name, "idt/")) {
    difference.kind = RecordKind::kCode;
    difference.severity = Severity::kCritical;
  } else {
    difference.kind = RecordKind::kData;
    difference.severity = Severity::kHigh;
  }
}

// But for when it started, or for fields that only one of the two looks has.
bool IsSameProcess(const RecordDifference& difference) {
  return IsOf(difference.name, "process/") && !difference.before.empty() &&
         !difference.after.empty() && difference.fields.empty();
}

}  // namespace

std::string_view KindName(RecordDifference::Kind kind) {
  switch (kind) {
    case RecordKind::kExpected:
      return "expected";
    case RecordKind::kData:
      return "data";
    case RecordKind::kUnmeasured:
      return "unmeasured";
    case RecordKind::kCode:
      break;
  }
  return "code";
}

std::vector<RecordDifference> CompareRecords(
    std::span<const StateRecord> before, std::span<const StateRecord> after) {
  std::vector<RecordDifference> out;
  const auto add = [&out](std::string name, std::string old_text,
                          std::string new_text) {
    RecordDifference difference;
    difference.name = std::move(name);
    difference.before = std::move(old_text);
    difference.after = std::move(new_text);
    Judge(difference);
    if (!IsSameProcess(difference)) {
      out.push_back(std::move(difference));
    }
  };
  size_t b = 0;
  size_t a = 0;
  while (b < before.size() || a < after.size()) {
    if (a == after.size() ||
        (b < before.size() && before[b].name < after[a].name)) {
      std::string name = WhatIsGone(before[b].name, after);
      const bool many = name != before[b].name;
      if (out.empty() || out.back().name != name) {
        add(std::move(name), many ? "registers" : before[b].text, "");
      }
      ++b;
    } else if (b == before.size() || after[a].name < before[b].name) {
      add(after[a].name, "", after[a].text);
      ++a;
    } else {
      if (before[b].text != after[a].text) {
        add(before[b].name, before[b].text, after[a].text);
      }
      ++b;
      ++a;
    }
  }
  return out;
}

}  // namespace vmattest::baseline
