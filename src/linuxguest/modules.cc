#include "linuxguest/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "linuxguest/list_walk.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kNameBytes = 56;  // MODULE_NAME_LEN
constexpr uint64_t kMostBytes = 256 << 20;
constexpr uint64_t kMostSymbols = 1 << 17;
constexpr size_t kMostSymbolName = 512;
constexpr std::string_view kInitText = "MOD_INIT_TEXT";
constexpr size_t kSymBytes = 24;  // Elf64_Sym

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

absl::Status AddPart(Module& module, Content content, uint64_t address,
                     uint64_t size) {
  if (size == 0) {
    return absl::OkStatus();
  }
  if (size > kMostBytes || address + size < address) {
    return absl::DataLossError(fmt::format("a part of {} bytes", size));
  }
  module.parts.push_back({content, address, size});
  return absl::OkStatus();
}

// Until Linux 6.3: one allocation, its kinds one after the other.
absl::Status ReadLayout(Kernel& kernel, Module& module) {
  const auto get = [&](const char* field) {
    return kernel.Get(module.address, "module",
                      fmt::format("core_layout.{}", field));
  };
  ASSIGN_OR_RETURN(const uint64_t base, get("base"));
  ASSIGN_OR_RETURN(const uint64_t size, get("size"));
  ASSIGN_OR_RETURN(const uint64_t text, get("text_size"));
  ASSIGN_OR_RETURN(const uint64_t rodata, get("ro_size"));
  ASSIGN_OR_RETURN(const uint64_t after_init, get("ro_after_init_size"));
  if (text > rodata || rodata > after_init || after_init > size) {
    return absl::DataLossError("core_layout's sizes do not rise");
  }
  RETURN_IF_ERROR(AddPart(module, Content::kCode, base, text));
  RETURN_IF_ERROR(
      AddPart(module, Content::kReadOnly, base + text, rodata - text));
  RETURN_IF_ERROR(AddPart(module, Content::kReadOnlyAfterInit, base + rodata,
                          after_init - rodata));
  RETURN_IF_ERROR(
      AddPart(module, Content::kData, base + after_init, size - after_init));
  ASSIGN_OR_RETURN(module.init_text.address,
                   kernel.Get(module.address, "module", "init_layout.base"));
  ASSIGN_OR_RETURN(module.init_text.size, kernel.Get(module.address, "module",
                                                     "init_layout.text_size"));
  return absl::OkStatus();
}

absl::Status ReadMemory(Kernel& kernel, Module& module) {
  struct Kind {
    std::string_view name;
    Content content;
  };
  ASSIGN_OR_RETURN(const Field array, kernel.btf().Member("module", "mem"));
  ASSIGN_OR_RETURN(const uint64_t stride, kernel.btf().Size("module_memory"));
  for (const Kind& kind :
       {Kind{"MOD_TEXT", Content::kCode}, Kind{"MOD_DATA", Content::kData},
        Kind{"MOD_RODATA", Content::kReadOnly},
        Kind{"MOD_RO_AFTER_INIT", Content::kReadOnlyAfterInit},
        Kind{kInitText, Content::kCode}}) {
    ASSIGN_OR_RETURN(const uint64_t index, kernel.btf().Enumerator(kind.name));
    if (stride == 0 || index >= array.size / stride) {
      return absl::DataLossError("BTF: module.mem is too short");
    }
    const uint64_t entry = module.address + array.offset + index * stride;
    ASSIGN_OR_RETURN(const uint64_t base,
                     kernel.Get(entry, "module_memory", "base"));
    ASSIGN_OR_RETURN(const uint64_t size,
                     kernel.Get(entry, "module_memory", "size"));
    if (kind.name == kInitText) {
      module.init_text = {Content::kCode, base, size};
      continue;
    }
    RETURN_IF_ERROR(AddPart(module, kind.content, base, size));
  }
  return absl::OkStatus();
}

// The symbols that the module brought along, kept by CONFIG_KALLSYMS.
absl::Status ReadSymbols(Kernel& kernel, Module& module) {
  ASSIGN_OR_RETURN(const uint64_t kallsyms,
                   kernel.Get(module.address, "module", "kallsyms"));
  const auto get = [&](const char* field) {
    return kernel.Get(kallsyms, "mod_kallsyms", field);
  };
  ASSIGN_OR_RETURN(const uint64_t table, get("symtab"));
  ASSIGN_OR_RETURN(const uint64_t count, get("num_symtab"));
  ASSIGN_OR_RETURN(const uint64_t strings, get("strtab"));
  ASSIGN_OR_RETURN(const uint64_t types, get("typetab"));
  if (count > kMostSymbols) {
    return absl::DataLossError(fmt::format("{} symbols", count));
  }
  ASSIGN_OR_RETURN(const Bytes symbols,
                   kernel.reader().Read(table, count * kSymBytes));
  ASSIGN_OR_RETURN(const Bytes letters, kernel.reader().Read(types, count));
  for (uint64_t i = 1; i < count; ++i) {
    const size_t at = i * kSymBytes;
    const uint64_t section = LittleEndian(symbols, at + 6, 2);
    if (section == 0 || section >= 0xff00) {
      continue;
    }
    ASSIGN_OR_RETURN(
        const std::string name,
        kernel.reader().Text(strings + LittleEndian(symbols, at, 4),
                             kMostSymbolName));
    RETURN_IF_ERROR(module.symbols.Add(LittleEndian(symbols, at + 8, 8),
                                       static_cast<char>(letters[i]), name,
                                       kernel.reader().physical().limits()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Module> ReadModule(Kernel& kernel, uint64_t address) {
  Module module;
  module.address = address;
  ASSIGN_OR_RETURN(const Field name, kernel.btf().Member("module", "name"));
  ASSIGN_OR_RETURN(module.name,
                   kernel.reader().Text(address + name.offset, kNameBytes));
  ASSIGN_OR_RETURN(const uint64_t state,
                   kernel.Get(address, "module", "state"));
  module.live = state == 0;  // MODULE_STATE_LIVE
  RETURN_IF_ERROR(kernel.btf().Member("module", "mem").ok()
                      ? ReadMemory(kernel, module)
                      : ReadLayout(kernel, module));
  RETURN_IF_ERROR_WITH(ReadSymbols(kernel, module), "kallsyms");
  module.symbols.Sort();
  return module;
}

absl::Status AddModule(Kernel& kernel, uint64_t address, bool listed,
                       Modules& out) {
  absl::StatusOr<Module> module = ReadModule(kernel, address);
  if (!module.ok()) {
    if (!IsGuestsDoing(module.status())) {
      return module.status();
    }
    out.problems.push_back(fmt::format("the module at 0x{:x}: {}", address,
                                       std::string(module.status().message())));
    return absl::OkStatus();
  }
  module->listed = listed;
  out.modules.push_back(*std::move(module));
  return absl::OkStatus();
}

// Addresses of the modules that have a folder in /sys/module; built-in ones
// have no struct module.
absl::StatusOr<std::vector<uint64_t>> SysfsModules(Kernel& kernel,
                                                   Modules& out) {
  ASSIGN_OR_RETURN(const uint64_t kset, kernel.Variable("module_kset", 8));
  ASSIGN_OR_RETURN(const Field list, kernel.btf().Member("kset", "list"));
  ASSIGN_OR_RETURN(const Field entry, kernel.btf().Member("kobject", "entry"));
  ASSIGN_OR_RETURN(const Field kobject,
                   kernel.btf().Member("module_kobject", "kobj"));
  ASSIGN_OR_RETURN(const ListEntries entries,
                   WalkList(kernel.reader(), kset + list.offset,
                            kernel.reader().physical().limits().modules));
  if (!entries.problem.empty()) {
    out.problems.push_back("module_kset " + entries.problem);
  }
  std::vector<uint64_t> modules;
  for (const uint64_t at : entries.addresses) {
    const absl::StatusOr<uint64_t> module =
        kernel.Get(at - entry.offset - kobject.offset, "module_kobject", "mod");
    if (module.ok() && *module != 0) {
      modules.push_back(*module);
    } else if (!module.ok() && !IsGuestsDoing(module.status())) {
      return module.status();
    }
  }
  return modules;
}

}  // namespace

std::string_view ContentName(Content content) {
  switch (content) {
    case Content::kCode:
      return "text";
    case Content::kReadOnly:
      return "rodata";
    case Content::kReadOnlyAfterInit:
      return "ro_after_init";
    case Content::kData:
      break;
  }
  return "data";
}

const Part* Module::Holding(uint64_t at) const {
  const auto found =
      std::find_if(parts.begin(), parts.end(), [at](const Part& part) {
        return at >= part.address && at - part.address < part.size;
      });
  return found == parts.end() ? nullptr : &*found;
}

absl::StatusOr<Modules> ReadModules(Kernel& kernel) {
  Modules out;
  ASSIGN_OR_RETURN(const uint64_t head, kernel.symbols().Require("modules"));
  ASSIGN_OR_RETURN(const Field list, kernel.btf().Member("module", "list"));
  ASSIGN_OR_RETURN(const ListEntries entries,
                   WalkList(kernel.reader(), head,
                            kernel.reader().physical().limits().modules));
  if (!entries.problem.empty()) {
    out.problems.push_back("the list of modules " + entries.problem);
  }
  std::unordered_set<uint64_t> listed;
  for (const uint64_t at : entries.addresses) {
    listed.insert(at - list.offset);
    RETURN_IF_ERROR(AddModule(kernel, at - list.offset, true, out));
  }
  ASSIGN_OR_RETURN(const std::vector<uint64_t> in_sysfs,
                   SysfsModules(kernel, out));
  for (const uint64_t address : in_sysfs) {
    if (listed.insert(address).second) {
      RETURN_IF_ERROR(AddModule(kernel, address, false, out));
    }
  }
  std::stable_sort(
      out.modules.begin(), out.modules.end(),
      [](const Module& a, const Module& b) { return a.name < b.name; });
  return out;
}

}  // namespace vmattest::linuxguest
