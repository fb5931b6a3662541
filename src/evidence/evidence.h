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
  std::vector<ConfigSubtree> subtrees;
  Bytes vm_salt;  // of salted leaves, for who may see all of them; else empty
};

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_EVIDENCE_H_
