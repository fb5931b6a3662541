#ifndef VMATTEST_LINUXGUEST_TEXT_CHECK_H_
#define VMATTEST_LINUXGUEST_TEXT_CHECK_H_

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "linuxguest/code_ranges.h"
#include "linuxguest/kernel_image.h"

namespace vmattest::linuxguest {

// The kernel's text against the image that it was started from.
struct TextCheck {
  // SHA-256 over the text as it would be in the image: moved back, and every
  // site that the kernel itself writes as the image has it. Of a healthy
  // kernel it is the digest of the image's .text, in every boot.
  Bytes code_hash;
  Bytes rodata_hash;  // of a module alone (module_image.h)
  // Another kernel, other symbol tables (`symbols-modified`), or each changed
  // place, `code-modified`, by symbol and offset.
  Findings findings;
  uint64_t relocations = 0;                   // in the image
  std::map<std::string, uint64_t> rewritten;  // sites, by SiteKindName
};

// What is trusted is `image`, whose digest or signature the caller has checked,
// not the guest: relocations and tables of sites are the image's, and the
// guest's symbol tables must be the image's, byte for byte.
//   FAILED_PRECONDITION: `image` is of another build.
absl::StatusOr<TextCheck> CheckKernelText(Kernel& kernel,
                                          const AddressNames& names,
                                          const CodeRanges& ranges,
                                          const KernelImage& image);

// Whether the guest's symbol tables are those of `image`, `moved` by KASLR.
absl::StatusOr<bool> HasSymbolTablesOf(Kernel& kernel, const KernelImage& image,
                                       uint64_t moved);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_TEXT_CHECK_H_
