#include "linuxguest/rodata_check.h"

#include <algorithm>

#include "linuxguest/text_check.h"
#include "linuxguest/text_comparer.h"
#include "memory/guest_memory.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostRodata = 256 << 20;

struct Bounds {
  uint64_t begin = 0, end = 0;
  uint64_t written_begin = 0, written_end = 0;
};

absl::StatusOr<Bounds> FindBounds(const SymbolTable& symbols) {
  Bounds bounds;
  ASSIGN_OR_RETURN(bounds.begin, symbols.Require("__start_rodata"));
  ASSIGN_OR_RETURN(bounds.end, symbols.Require("__end_rodata"));
  ASSIGN_OR_RETURN(bounds.written_begin,
                   symbols.Require("__start_ro_after_init"));
  ASSIGN_OR_RETURN(bounds.written_end, symbols.Require("__end_ro_after_init"));
  if (bounds.begin > bounds.written_begin ||
      bounds.written_begin > bounds.written_end ||
      bounds.written_end > bounds.end ||
      bounds.end - bounds.begin > kMostRodata) {
    return absl::DataLossError(
        "__start_rodata, __start_ro_after_init, __end_ro_after_init and "
        "__end_rodata do not rise");
  }
  return bounds;
}

// Bytes from `address` to the end of the last section there.
uint64_t SizeOfSections(const KernelImage& image, uint64_t address,
                        uint64_t size) {
  uint64_t end = 0;
  for (const KernelImage::Section& section : image.sections()) {
    const uint64_t section_end = section.address + section.size;
    if (section.address >= address && section_end <= address + size) {
      end = std::max(end, section_end - address);
    }
  }
  return end;
}

}  // namespace

absl::StatusOr<RodataCheck> CheckKernelRodata(Kernel& kernel,
                                              const AddressNames& names,
                                              const KernelImage& image) {
  if (image.build_id() != kernel.info().build_id) {
    return absl::FailedPreconditionError("the image is of another build");
  }
  const uint64_t moved = names.text_begin() - image.Find(".text")->address;
  ASSIGN_OR_RETURN_WITH(const bool same_symbols,
                        HasSymbolTablesOf(kernel, image, moved),
                        "symbol tables");
  if (!same_symbols) {
    return absl::FailedPreconditionError(
        "the guest's symbol tables are not the image's");
  }
  ASSIGN_OR_RETURN(const Bounds bounds, FindBounds(kernel.symbols()));
  const uint64_t size = bounds.end - bounds.begin;
  const Bytes linked = image.Across(bounds.begin - moved, size);
  Bytes expected = linked;
  image.Move(bounds.begin - moved, moved, expected);
  ASSIGN_OR_RETURN_WITH(Bytes found, kernel.reader().Read(bounds.begin, size),
                        "kernel rodata");
  // The rest of the last page is nobody's.
  const uint64_t used = SizeOfSections(image, bounds.begin - moved, size);
  const ByteView left =
      image.LeftBehind(bounds.begin - moved + used, size - used);
  const bool left_behind =
      size - used < memory::kPageSize && left.size() == size - used &&
      std::equal(left.begin(), left.end(),
                 found.begin() + static_cast<ptrdiff_t>(used));
  TextComparer comparer(names, bounds.begin, std::move(expected),
                        std::move(found));
  comparer.Excuse(bounds.written_begin - bounds.begin,
                  bounds.written_end - bounds.written_begin);
  if (left_behind) {
    comparer.Excuse(used, size - used);
  }
  RodataCheck out;
  comparer.Report("rodata-modified", out.findings);
  out.hash = comparer.Hash(linked);
  return out;
}

}  // namespace vmattest::linuxguest
