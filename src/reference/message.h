#ifndef VMATTEST_REFERENCE_MESSAGE_H_
#define VMATTEST_REFERENCE_MESSAGE_H_

#include "reference/reference.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::reference {

v1::ReferenceDocument ToMessage(const Reference& reference);
// INVALID_ARGUMENT: enumerators that are unknown, PCRs out of order. Fields are
// not looked at beyond that.
absl::StatusOr<Reference> FromMessage(const v1::ReferenceDocument& message);

}  // namespace vmattest::reference

#endif  // VMATTEST_REFERENCE_MESSAGE_H_
