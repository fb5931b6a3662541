#ifndef VMATTEST_MEMORY_RAM_LAYOUT_H_
#define VMATTEST_MEMORY_RAM_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "memory/domain_memory.h"
#include "memory/guest_memory.h"

// Where in a guest's address space QEMU puts the blocks of its RAM. Pure; any
// thread.
//
//   0        640K    768K       1M            split          4G
//   | RAM    | (VGA) | shadow   | RAM          | (PCI)        | RAM ...
//   `--------------- one run of blocks ---------'             `-- goes on

namespace vmattest::memory {

inline constexpr uint64_t kVgaBegin = 0xA0000;
// ROMs and what firmware copies over them: RAM that is write-protected, or not.
inline constexpr AddressRange kRomShadow{0xC0000, 0x100000};
inline constexpr uint64_t kFourGiB = uint64_t{1} << 32;

struct RamSection {
  AddressRange guest;
  size_t block = 0;     // index into RamLayout::blocks
  uint64_t offset = 0;  // of guest.begin in that block
  friend bool operator==(const RamSection&, const RamSection&) = default;
};

struct RamLayout {
  struct Block {
    std::string name;  // "ram", "cell0", "dimm0"
    uint64_t bytes = 0;
    // Nobody told where it is: its section is where QEMU would have put it, if
    // it came when the VM had the devices that it has now.
    bool assumed = false;
  };
  std::vector<Block> blocks;
  std::vector<RamSection> sections;  // by address, disjoint; with kRomShadow
  // What the guest has and is not here: "virtiomem0: its address is not told".
  std::vector<std::string> left_out;
};

// By QEMU's rules for its PC machines (hw/i386/pc_piix.c, pc_q35.c): it is to
// be proved against QEMU itself (layout_proof.h).
//   FAILED_PRECONDITION: another machine, encrypted memory, a command line of
//   its own; the message names what.
absl::StatusOr<RamLayout> LayOut(const DomainMemory& domain);

// Takes a block and its sections out, and names it among `left_out`.
void LeaveOut(size_t block, std::string_view reason, RamLayout& layout);

// The addresses of all sections, merged, with or without kRomShadow.
std::vector<AddressRange> RamOf(const RamLayout& layout, bool rom_shadow);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_RAM_LAYOUT_H_
