#ifndef VMATTEST_APPRAISAL_DEMANDS_H_
#define VMATTEST_APPRAISAL_DEMANDS_H_

#include <string>
#include <vector>

#include "reference/reference.h"
#include "vmattest/verifier/verifier.h"

namespace vmattest::appraisal {

struct Failure {
  Reason reason;
  std::string fix;
};

// What genuine evidence lacks of a reference: first of the host and of how the
// measurement was made, then of the configuration.
std::vector<Failure> Demand(const verifier::Claims& claims,
                            const reference::Reference& reference);

// The least that would meet what the verifier refused; empty where nothing
// that the evidence's maker can do would.
std::string FixFor(const Reason& reason);

// Whether it is about the host rather than about its VM's configuration.
bool IsAboutHost(const Reason& reason);

}  // namespace vmattest::appraisal

#endif  // VMATTEST_APPRAISAL_DEMANDS_H_
