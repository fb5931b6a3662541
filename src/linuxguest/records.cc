#include "linuxguest/records.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostSyscalls = 1024;
constexpr size_t kGates = 256;
constexpr size_t kGateBytes = 16;
constexpr size_t kDescriptors = 16;  // GDT_ENTRIES
constexpr uint64_t kMostCpus = 8192;
constexpr size_t kHelperBytes = 256;  // UEVENT_HELPER_PATH_LEN
constexpr size_t kLineBytes = 4096;

bool BeginsFunction(const Kernel& kernel, const AddressNames& names,
                    uint64_t address) {
  const std::optional<Symbol> symbol = kernel.symbols().Covering(address);
  return names.InKernelText(address) && symbol && symbol->address == address;
}

// Vectors that no processor raises keep the handler of the first moments, whose
// memory has been given back.
bool IsEarlyHandler(const Kernel& kernel, size_t vector, uint64_t handler) {
  const std::optional<Symbol> symbol = kernel.symbols().Covering(handler);
  return vector < 32 && symbol && symbol->name == "early_idt_handler_array";
}

// Of a segment descriptor what does not say where: the TSS's base is another
// per processor and boot, and the processor sets "busy" and "accessed".
std::string DescriptorText(uint64_t raw) {
  const uint64_t type = raw >> 40 & 0xf;
  const bool system = (raw >> 44 & 1) == 0;
  return fmt::format("type={:x} s={} dpl={} present={} long={} limit={:x}",
                     system ? type & ~uint64_t{2} : type & ~uint64_t{1},
                     system ? 0 : 1, raw >> 45 & 3, raw >> 47 & 1,
                     raw >> 53 & 1, (raw & 0xffff) | (raw >> 48 & 0xf) << 16);
}

}  // namespace

absl::StatusOr<RecordSet> ReadSyscallTable(Kernel& kernel,
                                           const AddressNames& names) {
  RecordSet out;
  ASSIGN_OR_RETURN(const uint64_t table,
                   kernel.symbols().Require("sys_call_table"));
  const std::optional<uint64_t> end = kernel.symbols().Next(table);
  const uint64_t count = std::min(end ? (*end - table) / 8 : 0, kMostSyscalls);
  ASSIGN_OR_RETURN_WITH(const Bytes raw, kernel.reader().Read(table, count * 8),
                        "sys_call_table");
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t handler = LittleEndian(raw, i * 8, 8);
    // Padding to the next symbol.
    if (handler == 0) {
      break;
    }
    out.records.push_back(
        {fmt::format("syscall/{}", i), names.Describe(handler)});
    if (!BeginsFunction(kernel, names, handler)) {
      out.findings.push_back({"syscall-hooked", Severity::kCritical,
                              fmt::format("sys_call_table[{}]", i),
                              "a function of the kernel's text",
                              names.Describe(handler)});
    }
  }
  return out;
}

absl::StatusOr<RecordSet> ReadIdt(Kernel& kernel, const AddressNames& names) {
  RecordSet out;
  ASSIGN_OR_RETURN(const uint64_t table, kernel.symbols().Require("idt_table"));
  ASSIGN_OR_RETURN_WITH(const Bytes raw,
                        kernel.reader().Read(table, kGates * kGateBytes),
                        "idt_table");
  for (size_t i = 0; i < kGates; ++i) {
    const size_t at = i * kGateBytes;
    const uint64_t flags = LittleEndian(raw, at + 4, 2);
    if ((flags & 0x8000) == 0) {
      continue;
    }
    const uint64_t handler = LittleEndian(raw, at, 2) |
                             LittleEndian(raw, at + 6, 2) << 16 |
                             LittleEndian(raw, at + 8, 4) << 32;
    out.records.push_back(
        {fmt::format("idt/{}", i),
         fmt::format("{} selector={:x} type={:x} dpl={} ist={}",
                     names.Describe(handler), LittleEndian(raw, at + 2, 2),
                     flags >> 8 & 0xf, flags >> 13 & 3, flags & 7)});
    if (!names.InKernelText(handler) && !IsEarlyHandler(kernel, i, handler)) {
      out.findings.push_back({"interrupt-hooked", Severity::kCritical,
                              fmt::format("idt_table[{}]", i),
                              "a handler in the kernel's text",
                              names.Describe(handler)});
    }
  }
  return out;
}

absl::StatusOr<RecordSet> ReadGdt(Kernel& kernel) {
  RecordSet out;
  ASSIGN_OR_RETURN(const uint64_t page, kernel.symbols().Require("gdt_page"));
  ASSIGN_OR_RETURN(const uint64_t offsets,
                   kernel.symbols().Require("__per_cpu_offset"));
  ASSIGN_OR_RETURN(const uint64_t cpus, kernel.Variable("nr_cpu_ids", 4));
  for (uint64_t cpu = 0; cpu < std::min(cpus, kMostCpus); ++cpu) {
    ASSIGN_OR_RETURN(const uint64_t offset,
                     kernel.reader().Pointer(offsets + cpu * 8));
    const absl::StatusOr<Bytes> raw =
        kernel.reader().Read(offset + page, kDescriptors * 8);
    if (absl::IsNotFound(raw.status()) || absl::IsDataLoss(raw.status())) {
      out.findings.push_back(
          Inconsistent(fmt::format("gdt of cpu {}", cpu), "is not mapped"));
      continue;
    }
    RETURN_IF_ERROR(raw.status());
    for (size_t i = 0; i < kDescriptors; ++i) {
      const uint64_t descriptor = LittleEndian(*raw, i * 8, 8);
      // A system descriptor's second half is an address.
      const bool second_half =
          i > 0 && (LittleEndian(*raw, (i - 1) * 8, 8) >> 44 & 9) == 8 &&
          (LittleEndian(*raw, (i - 1) * 8, 8) >> 40 & 0xd) == 9;
      if (descriptor != 0 && !second_half) {
        out.records.push_back(
            {fmt::format("gdt/cpu{}/{}", cpu, i), DescriptorText(descriptor)});
      }
    }
  }
  return out;
}

absl::StatusOr<RecordSet> ReadHelpers(Kernel& kernel) {
  RecordSet out;
  for (const char* name :
       {"core_pattern", "modprobe_path", "poweroff_cmd", "uevent_helper"}) {
    const std::optional<uint64_t> address = kernel.symbols().Address(name);
    if (!address) {
      continue;
    }
    ASSIGN_OR_RETURN_WITH(std::string text,
                          kernel.reader().Text(*address, kHelperBytes), name);
    out.records.push_back({fmt::format("helper/{}", name), std::move(text)});
  }
  return out;
}

absl::StatusOr<RecordSet> ReadIdentity(Kernel& kernel) {
  RecordSet out;
  out.records = {{"kernel/release", kernel.info().release},
                 {"kernel/build-id", kernel.info().build_id}};
  if (const auto banner = kernel.symbols().Address("linux_banner")) {
    ASSIGN_OR_RETURN_WITH(const std::string text,
                          kernel.reader().Text(*banner, kLineBytes),
                          "linux_banner");
    out.records.push_back({"kernel/version", text.substr(0, text.find('\n'))});
  }
  if (const auto line = kernel.symbols().Address("saved_command_line")) {
    ASSIGN_OR_RETURN_WITH(const uint64_t at, kernel.reader().Pointer(*line),
                          "saved_command_line");
    ASSIGN_OR_RETURN_WITH(std::string text,
                          kernel.reader().Text(at, kLineBytes),
                          "saved_command_line");
    out.records.push_back({"kernel/cmdline", std::move(text)});
  }
  return out;
}

RecordSet ModuleRecords(const Modules& modules) {
  RecordSet out;
  for (const Module& module : modules.modules) {
    std::string text = module.listed ? "listed" : "hidden";
    for (const Part& part : module.parts) {
      text += fmt::format(" {}={}", ContentName(part.content), part.size);
    }
    out.records.push_back({"module/" + module.name, std::move(text)});
    if (!module.listed) {
      out.findings.push_back({"module-hidden", Severity::kCritical,
                              "module " + module.name, "in the list of modules",
                              "only in module_kset"});
    }
  }
  for (const std::string& problem : modules.problems) {
    out.findings.push_back(Inconsistent("modules", problem));
  }
  return out;
}

RecordSet ProcessRecords(const Processes& processes) {
  RecordSet out;
  for (const Process& process : processes.processes) {
    out.records.push_back(
        {fmt::format("process/{}", process.pid), process.Canonical()});
  }
  for (const std::string& problem : processes.problems) {
    out.findings.push_back(Inconsistent("processes", problem));
  }
  return out;
}

}  // namespace vmattest::linuxguest
