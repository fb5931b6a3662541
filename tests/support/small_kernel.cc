#include "support/small_kernel.h"

#include <array>
#include <map>
#include <vector>

#include "fmt/format.h"

namespace vmattest::testing {
namespace {

constexpr std::string_view kBuildId =
    "0123456789abcdef0123456789abcdef01234567";
constexpr uint64_t kNoExecute = uint64_t{1} << 63;

struct Place {
  std::string_view name;
  uint64_t offset;  // in the image
  char type = 'D';
};

constexpr Place kPlaces[] = {
    {"_text", 0, 'T'},
    {"_stext", 0, 'T'},
    {"entry_SYSCALL_64", 0x100, 'T'},
    {"entry_SYSCALL_compat", 0x140, 'T'},
    {"entry_SYSENTER_compat", 0x180, 'T'},
    {"asm_exc_page_fault", 0x200, 'T'},
    {"__x64_sys_read", 0x300, 't'},
    {"__x64_sys_write", 0x400, 't'},
    {"_etext", 0x1000, 'T'},
    {"__start_rodata", 0x2000},
    {"sys_call_table", 0x2000},
    {"kallsyms_num_syms", 0x2100},
    {"kallsyms_relative_base", 0x2108},
    {"kallsyms_offsets", 0x2200},
    {"kallsyms_token_index", 0x3000},
    {"kallsyms_token_table", 0x4000},
    {"kallsyms_names", 0x5000},
    {"__start_notes", 0x8000},
    {"__stop_notes", 0x8024},
    {"__start_BTF", 0x9000},
    {"__stop_BTF", 0xb000},
    {"__start_ro_after_init", 0xc000},
    {"__end_ro_after_init", 0xd000},
    {"__end_rodata", 0x10000},
    {"idt_table", 0x11000},
    {"modules", 0x12000},
    {"module_kset", 0x12010},
    {"a_kset", 0x12020},
    {"init_task", 0x13000},
    {"init_cred", 0x14000},
    {"modprobe_path", 0x15000},
    {"vmcoreinfo_note", 0x15100},
    {"nr_cpu_ids", 0x15108},
    {"__per_cpu_offset", 0x15110},
    {"cr4_pinned_bits", 0x15118},
    {"boot_cpu_data", 0x15120},
    {"gdt_page", 0x16000},
    {"swapper_pg_dir", 0x1f0000},
    {"_end", 0x1ff000},
};

void Append(Bytes& out, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

// Just enough of a BTF writer: numbers, structures of them and of each other.
class BtfWriter {
 public:
  struct Member {
    std::string_view name;
    uint64_t offset;
    uint32_t type;
  };
  uint32_t Number(uint32_t size) {
    return Type("", 1, 0, size, [this, size] { Append(types_, size * 8, 4); });
  }
  uint32_t Struct(std::string_view name, uint32_t size,
                  const std::vector<Member>& members) {
    return Type(name, 4, members.size(), size, [this, &members] {
      for (const Member& member : members) {
        Append(types_, Text(member.name), 4);
        Append(types_, member.type, 4);
        Append(types_, member.offset * 8, 4);
      }
    });
  }
  [[nodiscard]] Bytes Finish() const {
    Bytes out;
    Append(out, 0xeb9f, 2);
    Append(out, 1, 2);
    Append(out, 24, 4);
    Append(out, 0, 4);
    Append(out, types_.size(), 4);
    Append(out, types_.size(), 4);
    Append(out, text_.size(), 4);
    out.insert(out.end(), types_.begin(), types_.end());
    out.insert(out.end(), text_.begin(), text_.end());
    return out;
  }

 private:
  template <class Fn>
  uint32_t Type(std::string_view name, uint32_t kind, size_t count,
                uint32_t size, Fn rest) {
    const uint64_t text = Text(name);
    Append(types_, text, 4);
    Append(types_, uint64_t{kind} << 24 | count, 4);
    Append(types_, size, 4);
    rest();
    return ++last_;
  }
  uint64_t Text(std::string_view text) {
    if (text.empty()) {
      return 0;
    }
    const uint64_t at = text_.size();
    text_ += text;
    text_ += '\0';
    return at;
  }

  Bytes types_;
  std::string text_ = std::string(1, '\0');
  uint32_t last_ = 0;
};

uint64_t Linear(uint64_t physical) { return SmallKernel::kLinear + physical; }

}  // namespace

uint64_t SmallKernel::Address(std::string_view symbol) {
  for (const Place& place : kPlaces) {
    if (place.name == symbol) {
      return kImage + place.offset;
    }
  }
  return 0;
}

uint64_t SmallKernel::Physical(std::string_view symbol) {
  return Address(symbol) - kImage + kImagePhysical;
}

std::string SmallKernel::Note() {
  std::string text = fmt::format(
      "OSRELEASE=6.1.0-small\nBUILD-ID={}\nPAGESIZE=4096\n"
      "NUMBER(phys_base)=-14680064\nNUMBER(pgtable_l5_enabled)=0\n"
      "KERNELOFFSET=0\n",
      kBuildId);
  for (const char* name :
       {"swapper_pg_dir", "_stext", "kallsyms_names", "kallsyms_num_syms",
        "kallsyms_token_table", "kallsyms_token_index", "kallsyms_offsets",
        "kallsyms_relative_base"}) {
    text += fmt::format("SYMBOL({})={:x}\n", name, Address(name));
  }
  return text;
}

void SmallKernel::WriteNote(ArrayGuestMemory& memory, uint64_t page,
                            const std::string& text) {
  memory.Number(page, 11, 4);
  memory.Number(page + 4, text.size(), 4);
  memory.Number(page + 8, 0, 4);
  memory.Write(page + 12, AsBytes(std::string_view("VMCOREINFO\0\0", 12)));
  memory.Write(page + 24, AsBytes(text));
}

SmallKernel::SmallKernel() {
  WriteTables();
  WriteNote(memory_, kNote, Note());
  WriteSymbols();
  WriteBtf();
  WriteModules();
  WriteProcesses();
  WriteCpuTables();
}

// One table a level for each of image, linear map and module.
void SmallKernel::WriteTables() {
  const uint64_t image3 = kRoot + 0x1000;
  const uint64_t image2 = kRoot + 0x2000;
  const uint64_t linear3 = kRoot + 0x3000;
  const uint64_t linear2 = kRoot + 0x4000;
  const uint64_t image1 = kRoot + 0x5000;
  const uint64_t module1 = kRoot + 0x6000;
  const uint64_t module2 = kRoot + 0x7000;
  memory_.Number(kRoot + 511 * 8, image3 | 7);
  memory_.Number(image3 + 510 * 8, image2 | 7);
  memory_.Number(image3 + 511 * 8, module2 | 7);
  memory_.Number(image2 + 8 * 8, image1 | 7);
  memory_.Number(image1, kImagePhysical | 1);  // text: one page that runs
  for (uint64_t i = 1; i < 512; ++i) {
    memory_.Number(image1 + i * 8,
                   (kImagePhysical + i * 0x1000) | 3 | kNoExecute);
  }
  // Modules: 0xffffffffc0000000 is entry 0 of the last GiB.
  memory_.Number(module2, module1 | 7);
  memory_.Number(module1, kModuleTables | 1);
  memory_.Number(module1 + 8, (kModuleTables + 0x1000) | 3 | kNoExecute);
  memory_.Number(kRoot + (kLinear >> 39 & 511) * 8, linear3 | 7);
  memory_.Number(linear3, linear2 | 7);
  // Text may be read there, and not written.
  for (uint64_t i = 0; i < kSize / 0x1000; ++i) {
    const uint64_t frame = i * 0x1000;
    const bool text = frame == kImagePhysical || frame == kModuleTables;
    memory_.Number(kLinearTables + i * 8, frame | (text ? 1 : 3) | kNoExecute);
  }
  memory_.Number(linear2, kLinearTables | 7);
  memory_.Number(linear2 + 8, (kLinearTables + 0x1000) | 7);
}

void SmallKernel::WriteSymbols() {
  const uint64_t base = kImage;
  uint64_t names = Physical("kallsyms_names");
  uint64_t count = 0;
  for (const Place& place : kPlaces) {
    const std::string text = place.type + std::string(place.name);
    memory_.Number(names++, text.size(), 1);
    memory_.Write(names, AsBytes(text));
    names += text.size();
    // Below zero: relative to the base.
    memory_.Number(Physical("kallsyms_offsets") + count++ * 4,
                   base - 1 - (kImage + place.offset), 4);
  }
  memory_.Number(Physical("kallsyms_num_syms"), count, 4);
  memory_.Number(Physical("kallsyms_relative_base"), base);
  for (uint64_t i = 0; i < 256; ++i) {
    memory_.Number(Physical("kallsyms_token_index") + i * 2, i * 2, 2);
    memory_.Number(Physical("kallsyms_token_table") + i * 2, i, 2);
  }
  const uint64_t notes = Physical("__start_notes");
  memory_.Number(notes, 4, 4);
  memory_.Number(notes + 4, 20, 4);
  memory_.Number(notes + 8, 3, 4);
  memory_.Write(notes + 12, AsBytes(std::string_view("GNU\0", 4)));
  memory_.Write(notes + 16, ParseHex(kBuildId).value());
  memory_.Number(Physical("vmcoreinfo_note"), Linear(kNote));
}

void SmallKernel::WriteBtf() {
  BtfWriter btf;
  const uint32_t u32 = btf.Number(4);
  const uint32_t u64 = btf.Number(8);
  const uint32_t comm = btf.Number(16);
  const uint32_t name = btf.Number(56);
  const uint32_t list = btf.Struct("list_head", 16, {{"next", 0, u64}});
  const uint32_t id = btf.Struct("kuid_t", 4, {{"val", 0, u32}});
  const uint32_t layout = btf.Struct("module_layout", 40,
                                     {{"base", 0, u64},
                                      {"size", 8, u32},
                                      {"text_size", 12, u32},
                                      {"ro_size", 16, u32},
                                      {"ro_after_init_size", 20, u32}});
  btf.Struct("module", 512,
             {{"state", 0, u32},
              {"list", kList, list},
              {"name", 24, name},
              {"core_layout", 80, layout},
              {"init_layout", 120, layout},
              {"kallsyms", 160, u64}});
  btf.Struct("mod_kallsyms", 32,
             {{"symtab", 0, u64},
              {"num_symtab", 8, u32},
              {"strtab", 16, u64},
              {"typetab", 24, u64}});
  btf.Struct("cpuinfo_x86", 16, {{"x86", 0, u32}, {"x86_vendor", 4, u32}});
  btf.Struct("kset", 64, {{"list", 0, list}});
  const uint32_t kobject = btf.Struct("kobject", 64, {{"entry", 8, list}});
  btf.Struct("module_kobject", 96, {{"kobj", 0, kobject}, {"mod", 64, u64}});
  btf.Struct("task_struct", 256,
             {{"flags", 0, u32},
              {"tgid", 4, u32},
              {"real_parent", 8, u64},
              {"tasks", kTasks, list},
              {"mm", 32, u64},
              {"cred", 40, u64},
              {"comm", kComm, comm},
              {"start_time", kStart, u64}});
  btf.Struct("cred", 64,
             {{"uid", 0, id},
              {"gid", 4, id},
              {"euid", 8, id},
              {"egid", 12, id},
              {"cap_effective", 16, u64},
              {"cap_permitted", 24, u64}});
  const uint32_t tree = btf.Struct("maple_tree", 16, {{"ma_root", 8, u64}});
  btf.Struct("mm_struct", 64,
             {{"pgd", 0, u64}, {"exe_file", 8, u64}, {"mm_mt", 16, tree}});
  btf.Struct("vm_area_struct", 64,
             {{"vm_start", 0, u64},
              {"vm_end", 8, u64},
              {"vm_mm", 16, u64},
              {"vm_flags", 24, u64},
              {"vm_pgoff", 32, u64},
              {"vm_file", 40, u64}});
  const uint32_t pivots = btf.Number(120);
  const uint32_t slots = btf.Number(128);
  btf.Struct("maple_range_64", 256,
             {{"pivot", 8, pivots}, {"slot", 128, slots}});
  memory_.Write(Physical("__start_BTF"), btf.Finish());
}

void SmallKernel::WriteModules() {
  const auto link = [this](uint64_t at, uint64_t next, uint64_t prev) {
    memory_.Number(at, next);
    memory_.Number(at + 8, prev);
  };
  const uint64_t head = Address("modules");
  link(Physical("modules"), Linear(kModule + kList), Linear(kModule + kList));
  link(kModule + kList, head, head);
  memory_.Write(kModule + 24, AsBytes("small"));
  memory_.Number(kModule + 80, kModuleCode);
  memory_.Number(kModule + 88, 0x2000, 4);   // size
  memory_.Number(kModule + 92, 0x1000, 4);   // text
  memory_.Number(kModule + 96, 0x1000, 4);   // and rodata
  memory_.Number(kModule + 100, 0x1000, 4);  // and after init
  memory_.Number(kModule + 160, Linear(kModule + 0x200));
  memory_.Number(kModule + 0x200, Linear(kModule + 0x300));
  memory_.Number(kModule + 0x208, 2, 4);
  memory_.Number(kModule + 0x210, Linear(kModule + 0x400));
  memory_.Number(kModule + 0x218, Linear(kModule + 0x500));
  memory_.Number(kModule + 0x300 + 24, 1, 4);  // symbol 1: name, section, value
  memory_.Number(kModule + 0x300 + 24 + 6, 1, 2);
  memory_.Number(kModule + 0x300 + 24 + 8, kModuleCode + 0x10);
  memory_.Write(kModule + 0x401, AsBytes("small_init"));
  memory_.Write(kModule + 0x501, AsBytes("t"));
  memory_.Number(Physical("module_kset"), Address("a_kset"));
  link(Physical("a_kset"), Linear(kModule + 0x608), Linear(kModule + 0x608));
  link(kModule + 0x608, Address("a_kset"), Address("a_kset"));
  memory_.Number(kModule + 0x640, Linear(kModule));
}

void SmallKernel::WriteProcesses() {
  const uint64_t init = Physical("init_task");
  const auto task = [this](uint64_t at, uint32_t pid, std::string_view comm,
                           uint64_t next) {
    memory_.Number(at + 4, pid, 4);
    memory_.Number(at + 8, Address("init_task"));
    memory_.Number(at + kTasks, next);
    memory_.Number(at + kTasks + 8, next);
    memory_.Number(at + 40, Address("init_cred"));
    memory_.Write(at + kComm, AsBytes(comm));
    memory_.Number(at + kStart, 1000 + pid);
  };
  task(init, 0, "swapper/0", Linear(kTask + kTasks));
  task(kTask, 7, "worker", Address("init_task") + kTasks);
  const uint64_t mm = kTask + 0x100;
  memory_.Number(kTask + 32, Linear(mm));
  memory_.Number(mm, Address("swapper_pg_dir"));
  memory_.Number(mm + 24, Linear(kMapleNode) | 0xa);  // a leaf
  const uint64_t vma = kTask + 0x200;
  memory_.Number(kMapleNode + 8, 0x3fffff);  // nothing up to here
  memory_.Number(kMapleNode + 16, 0x401fff);
  memory_.Number(kMapleNode + 24, UINT64_MAX);
  memory_.Number(kMapleNode + 128 + 8, Linear(vma));
  memory_.Number(vma, 0x400000);
  memory_.Number(vma + 8, 0x402000);
  memory_.Number(vma + 16, Linear(mm));
  memory_.Number(vma + 24, 5);  // readable, executable
}

void SmallKernel::WriteCpuTables() {
  memory_.Number(Physical("sys_call_table"), Address("__x64_sys_read"));
  memory_.Number(Physical("sys_call_table") + 8, Address("__x64_sys_write"));
  const uint64_t gate = Physical("idt_table") + 14 * 16;
  const uint64_t handler = Address("asm_exc_page_fault");
  memory_.Number(gate, handler & 0xffff, 2);
  memory_.Number(gate + 2, 0x10, 2);
  memory_.Number(gate + 4, 0x8e00, 2);
  memory_.Number(gate + 6, handler >> 16 & 0xffff, 2);
  memory_.Number(gate + 8, handler >> 32, 4);
  memory_.Write(Physical("modprobe_path"), AsBytes("/sbin/modprobe"));
  memory_.Number(Physical("nr_cpu_ids"), 1, 4);
  memory_.Number(Physical("__per_cpu_offset"), 0);
  memory_.Number(Physical("cr4_pinned_bits"), kPinned);
  memory_.Number(Physical("gdt_page") + 16, 0x00af9b000000ffff);
}

memory::VcpuState SmallKernel::Vcpu() {
  memory::VcpuState cpu;
  cpu.cr0 = 0x80050033;
  cpu.cr3 = kRoot;
  cpu.cr4 = kPinned | 0x20;
  cpu.efer = 0xd01;
  cpu.idtr = {Address("idt_table"), 0xfff};
  cpu.gdtr = {Address("gdt_page"), 0x7f};
  cpu.dr = {0, 0, 0, 0, 0, 0, 0xffff0ff0, 0x400};
  cpu.star = 0x0023001000000000;
  cpu.lstar = Address("entry_SYSCALL_64");
  cpu.cstar = Address("entry_SYSCALL_compat");
  cpu.fmask = 0x257fd5;
  cpu.sysenter_cs = 0x10;
  cpu.sysenter_esp = 0xfffffe0000003000;
  cpu.sysenter_eip = Address("entry_SYSENTER_compat");
  return cpu;
}

}  // namespace vmattest::testing
