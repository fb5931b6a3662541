#ifndef VMATTEST_VERIFICATION_ETCD_KEYS_H_
#define VMATTEST_VERIFICATION_ETCD_KEYS_H_

#include <cstdint>
#include <string>

#include "fmt/format.h"

// Numbers in keys: keys are read in their order.

namespace vmattest::verification {

inline std::string Forward(uint64_t number) {
  return fmt::format("{:016x}", number);
}
// The largest number first.
inline std::string Inverse(uint64_t number) { return Forward(~number); }

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_ETCD_KEYS_H_
