#ifndef VMATTEST_LINUXGUEST_MODULE_IMAGE_H_
#define VMATTEST_LINUXGUEST_MODULE_IMAGE_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "linuxguest/kernel_image.h"
#include "linuxguest/modules.h"
#include "linuxguest/text_check.h"

namespace vmattest::linuxguest {

// A module's file (.ko, unpacked) laid out and linked as the kernel does
// it (layout_sections and apply_relocate_add of kernel/module) at the addresses
// that the guest gave it.
struct LinkedModule {
  // Read-only data as they must be in the guest. Not among them: tables that
  // the kernel sorts.
  struct Constants {
    std::string name;  // of the section
    uint64_t address = 0;
    Bytes bytes;
    Bytes file_bytes;  // the same as in the file
    // Places that name what was given back after the start, and where that was
    // nobody knows: offset and width.
    std::vector<std::pair<uint64_t, uint64_t>> unknown;
  };
  KernelImage image;  // sections where they are in the guest; all code is .text
  Bytes file_text;    // the same code as in the file
  std::vector<Constants> constants;
};

// INVALID_ARGUMENT: no module's file. FAILED_PRECONDITION: not of the kind that
// is loaded: its code or data have other sizes, or it needs symbols that are
// not there.
absl::StatusOr<LinkedModule> LinkModule(Kernel& kernel, const Modules& modules,
                                        const Module& module, ByteView file);

// As CheckKernelText, of a module; code_hash is SHA-256 of the code in `file`
// with what differs beyond explanation put in, rodata_hash the same of its
// read-only data (`rodata-modified`). Symbols that the module imports
// are looked up in the guest: check the kernel's first.
absl::StatusOr<TextCheck> CheckModuleText(
    Kernel& kernel, const Modules& modules, const Module& module,
    const AddressNames& names, const CodeRanges& ranges, ByteView file);

// The code hash of a system: SHA-256 over the kernel's, then each module's name
// and code hash in the order of the names, each with its length in four bytes,
// most significant first.
Bytes CodeHash(const Bytes& kernel,
               const std::map<std::string, Bytes>& modules);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_MODULE_IMAGE_H_
