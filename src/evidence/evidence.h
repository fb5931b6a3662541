#ifndef VMATTEST_EVIDENCE_EVIDENCE_H_
#define VMATTEST_EVIDENCE_EVIDENCE_H_

#include <vector>

#include "evidence/envelope.h"
#include "evidence/host_identity.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::evidence {

// The content of an evidence file: all that a stranger needs beside anchors.
struct Evidence {
  Envelope envelope;
  std::vector<KeyCertification> keys;
  std::vector<ConfigLeaf> leaves;
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_EVIDENCE_H_
