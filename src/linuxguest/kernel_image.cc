#include "linuxguest/kernel_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "linuxguest/decompress.h"
#include "linuxguest/elf_notes.h"
#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr std::string_view kElf(
    "\x7f"
    "ELF\x02\x01",
    6);
constexpr size_t kSectionBytes = 64;
constexpr size_t kMostSections = 4096;
constexpr uint64_t kNoBits = 8;

// The setup header of a bzImage says where the compressed kernel is.
absl::StatusOr<ByteView> PayloadOf(ByteView file) {
  if (AsText(file.subspan(0, std::min<size_t>(file.size(), 0x250)))
              .substr(std::min<size_t>(file.size(), 0x202), 4) != "HdrS" ||
      file.size() < 0x250 || LittleEndian(file, 0x206, 2) < 0x208) {
    return absl::InvalidArgumentError(
        "neither a bzImage of boot protocol 2.08 nor an ELF file");
  }
  const uint64_t setup = file[0x1f1] == 0 ? 4 : file[0x1f1];
  const uint64_t begin = (setup + 1) * 512 + LittleEndian(file, 0x248, 4);
  const uint64_t size = LittleEndian(file, 0x24c, 4);
  if (begin > file.size() || size > file.size() - begin) {
    return absl::InvalidArgumentError("bzImage: a payload past its end");
  }
  return file.subspan(begin, size);
}

void Add(Bytes& bytes, uint64_t at, size_t size, uint64_t delta) {
  const uint64_t value = LittleEndian(bytes, at, size) + delta;
  for (size_t i = 0; i < size; ++i) {
    bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

// Those that lie wholly inside.
void Relocate(const std::vector<uint64_t>& places, size_t width,
              uint64_t address, uint64_t delta, Bytes& bytes) {
  auto at = std::lower_bound(places.begin(), places.end(), address);
  for (; at != places.end() && *at - address + width <= bytes.size(); ++at) {
    Add(bytes, *at - address, width, delta);
  }
}

}  // namespace

absl::StatusOr<KernelImage> KernelImage::Parse(ByteView file) {
  Bytes elf;
  if (AsText(file).substr(0, kElf.size()) == kElf) {
    elf = ToBytes(file);
  } else {
    ASSIGN_OR_RETURN(const ByteView payload, PayloadOf(file));
    ASSIGN_OR_RETURN(elf, DecompressKernel(payload));
  }
  if (AsText(elf).substr(0, kElf.size()) != kElf) {
    return absl::InvalidArgumentError("no 64-bit ELF file in the image");
  }
  KernelImage image(std::move(elf));
  RETURN_IF_ERROR(image.ReadSections());
  RETURN_IF_ERROR(image.ReadRelocations());
  const Section* notes = image.Find(".notes");
  image.build_id_ =
      notes == nullptr
          ? ""
          : BuildIdAmong(image.At(notes->address, notes->size)).value_or("");
  if (image.Find(".text") == nullptr || image.build_id_.empty()) {
    return absl::InvalidArgumentError("no text or no build id in the image");
  }
  return image;
}

KernelImage KernelImage::FromLoose(std::vector<Loose> sections) {
  KernelImage image{Bytes()};
  for (Loose& loose : sections) {
    image.sections_.push_back({std::move(loose.name), loose.address,
                               loose.bytes.size(), image.elf_.size()});
    image.elf_.insert(image.elf_.end(), loose.bytes.begin(), loose.bytes.end());
  }
  return image;
}

absl::Status KernelImage::ReadSections() {
  const uint64_t begin = LittleEndian(elf_, 0x28, 8);
  const uint64_t count = LittleEndian(elf_, 0x3c, 2);
  const uint64_t names = LittleEndian(elf_, 0x3e, 2);
  if (begin > elf_.size() || count > kMostSections || names >= count ||
      count * kSectionBytes > elf_.size() - begin) {
    return absl::InvalidArgumentError("ELF: sections past the end");
  }
  elf_end_ = begin + count * kSectionBytes;
  const auto word = [&](uint64_t section, size_t offset, size_t size) {
    return LittleEndian(elf_, begin + section * kSectionBytes + offset, size);
  };
  const uint64_t text = word(names, 0x18, 8);
  for (uint64_t i = 0; i < count; ++i) {
    Section section;
    section.address = word(i, 0x10, 8);
    section.offset = word(i, 0x18, 8);
    section.size = word(i, 0x20, 8);
    if (word(i, 4, 4) == kNoBits || section.size == 0) {
      continue;
    }
    if (section.offset > elf_.size() ||
        section.size > elf_.size() - section.offset ||
        section.address + section.size < section.address) {
      return absl::InvalidArgumentError("ELF: a section past the end");
    }
    const uint64_t name = text + word(i, 0, 4);
    if (name >= elf_.size()) {
      return absl::InvalidArgumentError("ELF: a name past the end");
    }
    const std::string_view rest = AsText(elf_).substr(name, 256);
    section.name = rest.substr(0, rest.find('\0'));
    sections_.push_back(std::move(section));
  }
  return absl::OkStatus();
}

// Behind the ELF file, read from the end (arch/x86/tools/relocs.c): 32-bit
// places to add to, a zero, 32-bit places to subtract from, a zero, 64-bit
// places to add to, a zero. Each is the low half of an address as linked.
absl::Status KernelImage::ReadRelocations() {
  size_t at = elf_.size();
  for (std::vector<uint64_t>* places : {&add32_, &subtract32_, &add64_}) {
    while (true) {
      if (at < elf_end_ + 4) {
        return absl::InvalidArgumentError(
            "no relocations behind the kernel: built without "
            "CONFIG_RANDOMIZE_BASE, or not the payload of a bzImage");
      }
      at -= 4;
      const auto low = static_cast<int32_t>(LittleEndian(elf_, at, 4));
      if (low == 0) {
        break;
      }
      places->push_back(static_cast<uint64_t>(int64_t{low}));
    }
    std::sort(places->begin(), places->end());
  }
  return absl::OkStatus();
}

const KernelImage::Section* KernelImage::Find(std::string_view name) const {
  const auto found = std::find_if(
      sections_.begin(), sections_.end(),
      [name](const Section& section) { return section.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

ByteView KernelImage::At(uint64_t address, uint64_t size) const {
  for (const Section& section : sections_) {
    if (section.address != 0 && address >= section.address &&
        address - section.address < section.size &&
        size <= section.size - (address - section.address)) {
      return ByteView(elf_).subspan(
          section.offset + (address - section.address), size);
    }
  }
  return {};
}

Bytes KernelImage::Loaded(uint64_t address, uint64_t size,
                          uint64_t offset) const {
  Bytes bytes = ToBytes(At(address, size));
  Move(address, offset, bytes);
  return bytes;
}

Bytes KernelImage::Across(uint64_t address, uint64_t size) const {
  Bytes bytes(size);
  uint64_t at = address;
  for (const Section& section : sections_) {
    const uint64_t begin = std::max(section.address, at);
    const uint64_t end =
        std::min(section.address + section.size, address + size);
    if (section.address == 0 || begin >= end) {
      continue;
    }
    std::copy_n(
        elf_.begin() +
            static_cast<ptrdiff_t>(section.offset + (begin - section.address)),
        end - begin, bytes.begin() + static_cast<ptrdiff_t>(begin - address));
    at = end;
  }
  return bytes;
}

ByteView KernelImage::LeftBehind(uint64_t address, uint64_t size) const {
  const Section* text = Find(".text");
  const uint64_t offset = text == nullptr ? 0 : address - text->address;
  return text == nullptr || address < text->address || offset > elf_.size() ||
                 size > elf_.size() - offset
             ? ByteView()
             : ByteView(elf_).subspan(offset, size);
}

void KernelImage::Move(uint64_t address, uint64_t offset, Bytes& bytes) const {
  Relocate(add32_, 4, address, offset, bytes);
  Relocate(subtract32_, 4, address, ~offset + 1, bytes);
  Relocate(add64_, 8, address, offset, bytes);
}

}  // namespace vmattest::linuxguest
