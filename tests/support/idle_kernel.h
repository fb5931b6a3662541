#ifndef VMATTEST_TESTS_SUPPORT_IDLE_KERNEL_H_
#define VMATTEST_TESTS_SUPPORT_IDLE_KERNEL_H_

#include <string>

namespace vmattest::testing {

// Enough of a kernel for QEMU to load, which then does nothing for ever.
inline std::string IdleKernel() {
  std::string kernel(16384, '\0');
  kernel[0x1f1] = 1;  // sectors of set-up code
  kernel[0x1fe] = '\x55';
  kernel[0x1ff] = '\xaa';
  kernel.replace(0x200, 2, "\xeb\x66");      // jmp over the header
  kernel.replace(0x268, 3, "\xf4\xeb\xfd");  // hlt; jmp to it
  kernel.replace(0x202, 4, "HdrS");
  kernel[0x206] = '\x0c';
  kernel[0x207] = '\x02';
  kernel[0x211] = 1;
  kernel.replace(0x22c, 4, "\xff\xff\xff\x7f");
  return kernel;
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_IDLE_KERNEL_H_
