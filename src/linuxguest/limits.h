#ifndef VMATTEST_LINUXGUEST_LIMITS_H_
#define VMATTEST_LINUXGUEST_LIMITS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace vmattest::linuxguest {

// What one look at a guest may cost, whatever its memory says. A guest that
// needs more has structures that no Linux kernel makes.
struct Limits {
  std::chrono::milliseconds time{20000};
  uint64_t bytes = uint64_t{8} << 30;  // read, again counted each time
  size_t cached_pages = 8192;
  size_t candidates = 16;  // notes that look like VMCOREINFO
  size_t symbols = 1 << 20;
  size_t symbol_bytes = 64 << 20;
  size_t btf_bytes = 64 << 20;
  size_t modules = 4096;
  size_t processes = 1 << 17;
  size_t mappings = 1 << 16;  // of one process
  size_t page_tables = 1 << 20;
  size_t problems = 64;  // told; more are counted
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_LIMITS_H_
