#ifndef VMATTEST_TYPES_CONFIG_LEAF_H_
#define VMATTEST_TYPES_CONFIG_LEAF_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmattest/types/digest.h"

// The measured configuration of a VM (docs/formats/config-measurement.md).

namespace vmattest {

// What the value of a leaf is. The names are part of the leaf's signed bytes.
enum class LeafType : uint8_t {
  kHeader,       // the tree's own first leaf
  kText,         // as written
  kInteger,      // decimal
  kSize,         // decimal bytes
  kBoolean,      // "true" or "false"
  kDigest,       // "ALGORITHM:HEX" of file content
  kElement,      // canonical XML of what no typed leaf covers
  kPresence,     // "present": a secret whose value is never stored
  kUnavailable,  // why content could not be measured
  kTree,         // "ALGORITHM:ROOT leaves=N": leaves of their own below it
};

constexpr std::string_view ToString(LeafType type) {
  switch (type) {
    case LeafType::kHeader:
      return "header";
    case LeafType::kText:
      return "text";
    case LeafType::kInteger:
      return "integer";
    case LeafType::kSize:
      return "size";
    case LeafType::kBoolean:
      return "boolean";
    case LeafType::kDigest:
      return "digest";
    case LeafType::kElement:
      return "element";
    case LeafType::kPresence:
      return "presence";
    case LeafType::kUnavailable:
      return "unavailable";
    case LeafType::kTree:
      return "tree";
  }
  return "unknown";
}

struct ConfigLeaf {
  std::string path;  // "memory/max", "disk[vda]/source/file"
  LeafType type = LeafType::kText;
  std::string value;
  friend auto operator<=>(const ConfigLeaf&, const ConfigLeaf&) = default;
};

inline constexpr uint32_t kConfigSchemaVersion = 1;
// The first leaf: "schema=1 algorithm=sha256 leaves=57", itself counted.
inline constexpr std::string_view kHeaderLeafPath = "@tree";

// The leaves below a leaf of type "tree": sorted by path, the header leaf
// first, under a root of their own.
struct ConfigSubtree {
  std::string path;  // of the leaf that holds the root
  std::vector<ConfigLeaf> leaves;
};

// Leaves sorted by path, the header leaf first; `digests[i]` is the RFC 6962
// leaf hash of `leaves[i]` and `root` the tree hash over them.
struct ConfigTree {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  std::vector<ConfigLeaf> leaves;
  std::vector<DigestBytes> digests;
  DigestBytes root;
  std::vector<ConfigSubtree> subtrees;  // in the order of their leaves
};

}  // namespace vmattest

#endif  // VMATTEST_TYPES_CONFIG_LEAF_H_
