#ifndef VMATTEST_ENROLLMENT_EK_STORE_H_
#define VMATTEST_ENROLLMENT_EK_STORE_H_

#include "crypto/handles.h"
#include "enrollment/ek_certificate.h"

// What EkRoots keeps; nobody outside this folder includes it.

namespace vmattest::enrollment {

// Larger than any certificate of a TPM or of a vendor.
inline constexpr size_t kMaxCertificateSize = 8192;

struct EkRoots::Store {
  // Roots and intermediates alike.
  X509StoreHandle certificates;
  size_t count = 0;
};

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_EK_STORE_H_
