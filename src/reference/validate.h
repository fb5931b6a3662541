#ifndef VMATTEST_REFERENCE_VALIDATE_H_
#define VMATTEST_REFERENCE_VALIDATE_H_

#include "reference/reference.h"

// What every reference must hold, wherever it comes from. INVALID_ARGUMENT
// names the field.

namespace vmattest::reference {

absl::Status CheckBody(const Reference& reference);
// Of a reference that is signed, or about to be.
absl::Status CheckHeader(const Header& header);

}  // namespace vmattest::reference

#endif  // VMATTEST_REFERENCE_VALIDATE_H_
