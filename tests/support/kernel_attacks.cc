#include "support/kernel_attacks.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace vmattest::testing {

using linuxguest::Content;
using linuxguest::Discovery;

KernelAttack::~KernelAttack() {
  for (auto write = before_.rbegin(); write != before_.rend(); ++write) {
    EXPECT_TRUE(memory_.WriteAt(write->physical, write->bytes).ok());
  }
}

void KernelAttack::WritePhysical(uint64_t address, const Bytes& bytes) {
  Before before{address, Bytes(bytes.size())};
  ASSERT_TRUE(memory_.ReadAt(address, before.bytes).ok());
  before_.push_back(std::move(before));
  ASSERT_TRUE(memory_.WriteAt(address, bytes).ok());
}

void KernelAttack::Write(linuxguest::Kernel& kernel, uint64_t address,
                         const Bytes& bytes) {
  const auto physical = kernel.reader().ToPhysical(address);
  ASSERT_TRUE(physical.ok()) << physical.status();
  WritePhysical(*physical, bytes);
}

Bytes Word(uint64_t value) {
  Bytes bytes(8);
  for (size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  }
  return bytes;
}

KernelView::KernelView(MemfdGuestMemory& memory,
                       std::span<const memory::VcpuState> cpus)
    : reader_(memory, linuxguest::Limits{}) {
  absl::StatusOr<Discovery> found = linuxguest::DiscoverKernel(reader_);
  if (!found.ok() || found->kernel == nullptr) {
    ADD_FAILURE() << "no kernel: "
                  << (found.ok() ? found->reason : found.status().ToString());
    std::abort();
  }
  kernel_ = std::move(found->kernel);
  inspection = linuxguest::InspectKernel(*kernel_, cpus).value();
}

uint64_t KernelView::Symbol(std::string_view name) {
  return kernel_->symbols().Require(name).value();
}

const linuxguest::Module& KernelView::Module(std::string_view name) {
  const auto& all = inspection.modules.modules;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) {
    return one.name == name;
  });
  EXPECT_NE(found, all.end()) << name;
  return found == all.end() ? all.front() : *found;
}

const linuxguest::Process& KernelView::Task(int32_t pid) {
  const auto& all = inspection.processes.processes;
  const auto found = std::find_if(
      all.begin(), all.end(), [&](const auto& one) { return one.pid == pid; });
  EXPECT_NE(found, all.end()) << pid;
  return found == all.end() ? all.front() : *found;
}

namespace {

uint64_t CodeOfAModule(KernelView& view) {
  return view.inspection.modules.modules.front().parts.at(0).address;
}

// Where the entry is that maps the page at `address`.
uint64_t LeafEntry(KernelView& view, uint64_t address) {
  const linuxguest::Paging paging = view.kernel().reader().paging();
  linuxguest::PhysicalReader& physical = view.kernel().reader().physical();
  uint64_t table = paging.root;
  for (int level = paging.levels;; --level) {
    const uint64_t entry =
        table + (address >> (12 + 9 * (level - 1)) & 511) * 8;
    const uint64_t value = physical.U64(entry).value();
    if (level == 1 || (value & 0x80) != 0) {
      return entry;
    }
    table = value & 0x000ffffffffff000;
  }
}

// Takes `entry`, a struct list_head, out of its list.
void Unlink(KernelAttack& attack, KernelView& view, uint64_t entry) {
  linuxguest::VirtualReader& reader = view.kernel().reader();
  const uint64_t next = reader.Pointer(entry).value();
  const uint64_t previous = reader.Pointer(entry + 8).value();
  attack.Write(view.kernel(), previous, Word(next));
  attack.Write(view.kernel(), next + 8, Word(previous));
}

}  // namespace

void HookSystemCall(KernelAttack& attack, KernelView& view, uint64_t number) {
  attack.Write(view.kernel(), view.Symbol("sys_call_table") + number * 8,
               Word(CodeOfAModule(view)));
}

void HookInterrupt(KernelAttack& attack, KernelView& view, uint64_t vector) {
  const uint64_t gate = view.Symbol("idt_table") + vector * 16;
  const Bytes handler = Word(CodeOfAModule(view));
  attack.Write(view.kernel(), gate, {handler[0], handler[1]});
  attack.Write(view.kernel(), gate + 6,
               Bytes(handler.begin() + 2, handler.end()));
}

void HideModule(KernelAttack& attack, KernelView& view, std::string_view name) {
  Unlink(attack, view,
         view.Module(name).address +
             view.kernel().btf().Member("module", "list")->offset);
}

void HideTask(KernelAttack& attack, KernelView& view, int32_t pid) {
  Unlink(attack, view,
         view.Task(pid).address +
             view.kernel().btf().Member("task_struct", "tasks")->offset);
}

void PatchModule(KernelAttack& attack, KernelView& view,
                 std::string_view module, std::string_view function) {
  const auto at = view.Module(module).symbols.Address(function);
  ASSERT_TRUE(at) << function;
  attack.Write(view.kernel(), *at, {0xc3});  // ret
}

void PatchFunction(KernelAttack& attack, KernelView& view,
                   std::string_view name, uint64_t offset) {
  const uint64_t victim = view.Symbol(name) + offset;
  Bytes jump = {0xe9};
  const Bytes distance = Word(CodeOfAModule(view) - victim - 5);
  jump.insert(jump.end(), distance.begin(), distance.begin() + 4);
  attack.Write(view.kernel(), victim, jump);
}

void MakeDataExecutable(KernelAttack& attack, KernelView& view) {
  const auto& parts = view.inspection.modules.modules.front().parts;
  const auto data = std::find_if(parts.begin(), parts.end(), [](const auto& p) {
    return p.content == Content::kData;
  });
  ASSERT_NE(data, parts.end());
  // Bit 63 of the page's own entry forbids to run it.
  const uint64_t entry = LeafEntry(view, data->address);
  const uint64_t value = view.kernel().reader().physical().U64(entry).value();
  ASSERT_EQ(value >> 63, 1U);
  attack.WritePhysical(entry, Word(value << 1 >> 1));
  attack.Write(view.kernel(), view.Symbol("pm_power_off"), Word(data->address));
}

uint64_t MakeAliasWritable(KernelAttack& attack, KernelView& view,
                           uint64_t address) {
  const uint64_t alias = view.kernel().Variable("page_offset_base", 8).value() +
                         view.kernel().reader().ToPhysical(address).value();
  const uint64_t entry = LeafEntry(view, alias);
  const uint64_t value = view.kernel().reader().physical().U64(entry).value();
  EXPECT_EQ(value & 3, 1U) << "present, and read-only";
  attack.WritePhysical(entry, Word(value | 2));
  return alias;
}

void MakeRoot(KernelAttack& attack, KernelView& view, int32_t pid) {
  const uint64_t cred =
      view.kernel().Get(view.Task(pid).address, "task_struct", "cred").value();
  const uint64_t uid = view.kernel().btf().Member("cred", "uid")->offset;
  attack.Write(view.kernel(), cred + uid, Bytes(32));
}

}  // namespace vmattest::testing
