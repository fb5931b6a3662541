#ifndef VMATTEST_LINUXGUEST_RODATA_CHECK_H_
#define VMATTEST_LINUXGUEST_RODATA_CHECK_H_

#include "base/bytes.h"
#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/kernel_image.h"

namespace vmattest::linuxguest {

// The kernel's constants against the image that it was started from.
struct RodataCheck {
  // SHA-256 over __start_rodata to __end_rodata as the image has it: moved
  // back, and what a kernel writes there while it starts as the image has it.
  // Of a healthy kernel it is the image's, in every boot.
  Bytes hash;
  Findings findings;  // `rodata-modified`, each changed place
};

// As CheckKernelText. A kernel writes there only between __start_ro_after_init
// and __end_ro_after_init, before it makes them read-only; these bytes are
// compared with nothing. Between sections there are zeros, behind the last one,
// up to the end of its page, zeros or what unpacking left there.
//   FAILED_PRECONDITION: `image` is of another build, or the guest's symbol
//   tables, which say where all of this is, are not the image's.
absl::StatusOr<RodataCheck> CheckKernelRodata(Kernel& kernel,
                                              const AddressNames& names,
                                              const KernelImage& image);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_RODATA_CHECK_H_
