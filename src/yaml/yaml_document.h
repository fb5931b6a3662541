#ifndef VMATTEST_YAML_YAML_DOCUMENT_H_
#define VMATTEST_YAML_YAML_DOCUMENT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace vmattest::yaml {

// One node of a YAML file, with the line it begins at.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 1;
  bool quoted = false;  // scalar in quotes: text, whatever it looks like
  std::string scalar;
  std::vector<YamlNode> items;  // kSequence
  struct Entry;
  std::vector<Entry> entries;  // kMap, in the order of the file
};

struct YamlNode::Entry {
  std::string key;
  int line = 1;
  YamlNode value;
};

inline constexpr size_t kMaxYamlBytes = 1u << 20;
inline constexpr size_t kMaxYamlNodes = 50'000;
inline constexpr size_t kMaxYamlDepth = 32;

// Parses one YAML document of bounded size, depth and node count. Anchors,
// aliases, tags, a second document, keys that are no scalars and keys that
// come twice are INVALID_ARGUMENT: configuration says each thing once, and
// nothing can grow. Messages begin with "`file`:LINE: ". An empty document is
// an empty map. Callable from any thread.
absl::StatusOr<YamlNode> ParseYaml(std::string_view text,
                                   std::string_view file);

}  // namespace vmattest::yaml

#endif  // VMATTEST_YAML_YAML_DOCUMENT_H_
