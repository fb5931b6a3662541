#ifndef VMATTEST_LINUXGUEST_KERNEL_IMAGE_H_
#define VMATTEST_LINUXGUEST_KERNEL_IMAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::linuxguest {

// A kernel as it is on disk: a bzImage (Linux Documentation/arch/x86/boot.rst)
// of LZ4 or Zstandard, or the ELF file in it with the relocations behind it.
// Hostile until its digest is known.
class KernelImage {
 public:
  struct Section {
    std::string name;
    uint64_t address = 0;  // as linked
    uint64_t size = 0;
    uint64_t offset = 0;
  };

  // A section that comes without a file around it.
  struct Loose {
    std::string name;
    uint64_t address = 0;
    Bytes bytes;
  };

  // INVALID_ARGUMENT: no such file. UNIMPLEMENTED: another compression.
  static absl::StatusOr<KernelImage> Parse(ByteView file);

  // Of what is already where it will be: no relocations, no build id.
  static KernelImage FromLoose(std::vector<Loose> sections);

  [[nodiscard]] const std::string& build_id() const { return build_id_; }
  [[nodiscard]] const std::vector<Section>& sections() const {
    return sections_;
  }
  // Null: none of that name with bytes.
  [[nodiscard]] const Section* Find(std::string_view name) const;
  // The bytes at an address as linked; empty if not all of them are in one
  // section.
  [[nodiscard]] ByteView At(uint64_t address, uint64_t size) const;
  // The same after KASLR moved the kernel by `offset`.
  [[nodiscard]] Bytes Loaded(uint64_t address, uint64_t size,
                             uint64_t offset) const;
  // Those of all sections there, in the file's order as long as addresses rise;
  // zeros between them.
  [[nodiscard]] Bytes Across(uint64_t address, uint64_t size) const;
  // What unpacking leaves behind a segment: the ELF file is unpacked to where
  // the kernel will run, then its segments are moved down over it. Empty: not
  // known.
  [[nodiscard]] ByteView LeftBehind(uint64_t address, uint64_t size) const;
  // What KASLR's `offset` makes of bytes that are linked at `address`.
  void Move(uint64_t address, uint64_t offset, Bytes& bytes) const;
  [[nodiscard]] size_t relocations() const {
    return add32_.size() + subtract32_.size() + add64_.size();
  }

 private:
  explicit KernelImage(Bytes elf) : elf_(std::move(elf)) {}
  absl::Status ReadSections();
  absl::Status ReadRelocations();

  Bytes elf_;
  size_t elf_end_ = 0;
  std::string build_id_;
  std::vector<Section> sections_;
  std::vector<uint64_t> add32_, subtract32_, add64_;  // addresses, rising
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_KERNEL_IMAGE_H_
