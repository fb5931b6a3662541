#include "linuxguest/inspection.h"

#include <algorithm>
#include <iterator>

#include "linuxguest/code_ranges.h"
#include "linuxguest/cpu_check.h"
#include "linuxguest/process_code.h"

namespace vmattest::linuxguest {
namespace {

template <class T>
void Append(std::vector<T> from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()),
            std::make_move_iterator(from.end()));
}

// What the guest made impossible is a finding about `element`.
template <class T, class Fn>
absl::Status Take(absl::StatusOr<T> part, const char* element, Inspection& out,
                  Fn use) {
  if (part.ok()) {
    use(*std::move(part));
    return absl::OkStatus();
  }
  if (absl::IsNotFound(part.status()) || absl::IsDataLoss(part.status())) {
    out.findings.push_back(
        Inconsistent(element, std::string(part.status().message())));
    return absl::OkStatus();
  }
  return part.status();
}

absl::Status CheckCode(Kernel& kernel, const AddressNames& names,
                       Inspection& out) {
  ASSIGN_OR_RETURN(const CodeRanges ranges,
                   ReadCodeRanges(kernel, out.modules, names));
  ASSIGN_OR_RETURN(Findings findings,
                   CheckExecutablePages(kernel, ranges, names));
  Append(std::move(findings), out.findings);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Inspection> InspectKernel(
    Kernel& kernel, std::span<const memory::VcpuState> cpus) {
  Inspection out;
  const auto add = [&out](RecordSet set) {
    Append(std::move(set.records), out.records);
    Append(std::move(set.findings), out.findings);
  };
  const auto add_findings = [&out](Findings findings) {
    Append(std::move(findings), out.findings);
  };
  RETURN_IF_ERROR(Take(ReadModules(kernel), "modules", out,
                       [&out](Modules m) { out.modules = std::move(m); }));
  RETURN_IF_ERROR(Take(ReadProcesses(kernel), "processes", out,
                       [&out](Processes p) { out.processes = std::move(p); }));
  add(ModuleRecords(out.modules));
  add(ProcessRecords(out.processes));
  RETURN_IF_ERROR(Take(ReadIdentity(kernel), "kernel", out, add));
  RETURN_IF_ERROR(Take(ReadHelpers(kernel), "helpers", out, add));
  RETURN_IF_ERROR(Take(ReadGdt(kernel), "gdt", out, add));
  RETURN_IF_ERROR(
      Take(CheckCpus(kernel, out.modules, cpus), "vcpus", out, [&](CpuCheck c) {
        add({std::move(c.records), std::move(c.findings)});
        out.absent = std::move(c.absent);
      }));
  RETURN_IF_ERROR(Take(CheckKernelHalves(kernel, cpus, out.processes.processes),
                       "page-table roots", out, add_findings));
  RETURN_IF_ERROR(Take(CheckProcessCode(kernel, out.processes),
                       "code of processes", out, add_findings));
  absl::StatusOr<AddressNames> names = AddressNames::Make(kernel, out.modules);
  if (names.ok()) {
    RETURN_IF_ERROR(
        Take(ReadSyscallTable(kernel, *names), "sys_call_table", out, add));
    RETURN_IF_ERROR(Take(ReadIdt(kernel, *names), "idt_table", out, add));
    if (const absl::Status code = CheckCode(kernel, *names, out);
        absl::IsNotFound(code) || absl::IsDataLoss(code)) {
      add_findings({Inconsistent("code ranges", std::string(code.message()))});
    } else {
      RETURN_IF_ERROR(code);
    }
  } else {
    add_findings(
        {Inconsistent("kernel image", std::string(names.status().message()))});
  }
  std::stable_sort(
      out.records.begin(), out.records.end(),
      [](const Record& a, const Record& b) { return a.name < b.name; });
  return out;
}

}  // namespace vmattest::linuxguest
