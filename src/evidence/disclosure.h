#ifndef VMATTEST_EVIDENCE_DISCLOSURE_H_
#define VMATTEST_EVIDENCE_DISCLOSURE_H_

#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "evidence/envelope.h"
#include "evidence/host_identity.h"
#include "vmattest/types/config_leaf.h"

// Single leaves of a configuration tree, with what proves that they are in it
// (docs/formats/disclosure.md). Whoever sees them learns the number of leaves
// and the places of these, and of a salted tree nothing of the others. Pure;
// callable from any thread.

namespace vmattest::evidence {

struct DisclosedLeaf {
  ConfigLeaf leaf;
  Bytes salt;  // of this leaf alone; empty for public leaves
  uint64_t index = 0;
  std::vector<DigestBytes> path;  // RFC 6962 audit path
  // Of a leaf in a subtree, one: the tree leaf that holds the subtree's root.
  std::vector<DisclosedLeaf> parent;
};

struct Disclosure {
  Envelope envelope;
  std::vector<KeyCertification> keys;
  std::vector<DisclosedLeaf> leaves;
};

// `path` as in Flatten(): "memory/max", "disk[vda]/inside/partition[1]/os".
// NOT_FOUND: no such leaf.
absl::StatusOr<DisclosedLeaf> Disclose(const ConfigTree& tree,
                                       const SecretBytes& vm_salt,
                                       std::string_view path);

// The leaf's path in Flatten().
std::string FullPath(const DisclosedLeaf& leaf);

// The root of the main tree of `leaf_count` leaves that the leaf leads to.
// INVALID_ARGUMENT: an audit path of the wrong length, or a parent that is no
// tree leaf with that root below it.
absl::StatusOr<DigestBytes> DisclosedRoot(HashAlgorithm algorithm,
                                          uint64_t leaf_count,
                                          const DisclosedLeaf& leaf);

}  // namespace vmattest::evidence

#endif  // VMATTEST_EVIDENCE_DISCLOSURE_H_
