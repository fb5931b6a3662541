#ifndef VMATTEST_CLI_REFERENCE_H_
#define VMATTEST_CLI_REFERENCE_H_

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::cli {

// A configuration that somebody names on the command line.
struct Reference {
  DigestBytes root;
  // Absent if only a root was given.
  std::optional<HashAlgorithm> algorithm;
  std::optional<std::vector<ConfigLeaf>> leaves;
  // The root is over salted leaves: only the same salt gives it.
  bool salted = false;
};

// `text` is the path of an evidence file, the path of what
// `vmattest measure --json` wrote, or a root in hex. Leaves must give the root
// that stands beside them (not those of a salted measurement, which is without
// its salt; evidence whose leaves were kept back is only a root); signatures
// are not looked at: whoever names a reference vouches for it. NOT_FOUND:
// neither a file nor hex; INVALID_ARGUMENT: a file that is none of these.
absl::StatusOr<Reference> LoadReference(const std::string& text);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFERENCE_H_
