#include "linuxguest/elf_notes.h"

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kHeaderBytes = 12;
constexpr uint64_t kBuildIdType = 3;
constexpr uint64_t kGnu = 0x554e47;  // "GNU\0"

uint64_t Padded(uint64_t size) { return (size + 3) & ~uint64_t{3}; }

}  // namespace

std::optional<std::string> BuildIdAmong(ByteView notes) {
  size_t at = 0;
  while (at + kHeaderBytes < notes.size()) {
    const uint64_t name = Padded(LittleEndian(notes, at, 4));
    const uint64_t size = LittleEndian(notes, at + 4, 4);
    if (name + Padded(size) > notes.size() - at - kHeaderBytes) {
      return std::nullopt;
    }
    if (LittleEndian(notes, at + 8, 4) == kBuildIdType && name == 4 &&
        LittleEndian(notes, at + kHeaderBytes, 4) == kGnu) {
      return ToHex(notes.subspan(at + kHeaderBytes + name, size));
    }
    at += kHeaderBytes + name + Padded(size);
  }
  return std::nullopt;
}

}  // namespace vmattest::linuxguest
