#ifndef VMATTEST_OUTBOX_VM_FIELD_H_
#define VMATTEST_OUTBOX_VM_FIELD_H_

#include <algorithm>
#include <string>

#include "base/uuid.h"

// A VM as entries have it: 16 bytes in a field. Pure.

namespace vmattest::outbox {

inline std::string FieldOf(const Uuid& vm) {
  return {vm.bytes.begin(), vm.bytes.end()};
}

// Of our own entries alone: a field of another size gives another VM.
inline Uuid VmOf(const std::string& field) {
  Uuid vm;
  std::copy_n(field.begin(), std::min(field.size(), vm.bytes.size()),
              vm.bytes.begin());
  return vm;
}

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_VM_FIELD_H_
