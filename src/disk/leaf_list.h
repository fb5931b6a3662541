#ifndef VMATTEST_DISK_LEAF_LIST_H_
#define VMATTEST_DISK_LEAF_LIST_H_

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::disk {

// The leaves of one disk. Values may be hostile bytes: they become printable
// ASCII of bounded length here. One thread.
class LeafList {
 public:
  explicit LeafList(size_t limit) : limit_(limit) {}

  void Text(std::string path, std::string_view value);
  void Size(std::string path, uint64_t bytes);
  // "ALGORITHM:HEX".
  void Digest(std::string path, HashAlgorithm algorithm, ByteView digest);
  void Unavailable(std::string path, std::string_view reason);

  // How many more there is room for.
  [[nodiscard]] size_t room() const { return limit_ - leaves_.size(); }
  // All of them by path; past the limit, one leaf "limit" says so. A path that
  // occurs again has "#2" and so on behind it.
  [[nodiscard]] std::vector<ConfigLeaf> Take() &&;

 private:
  void Add(std::string path, LeafType type, std::string value);

  const size_t limit_;
  bool cut_ = false;
  std::vector<ConfigLeaf> leaves_;
  std::unordered_map<std::string, unsigned> times_;
};

// `text` with every byte that paths give a meaning to, or that is not printed
// as itself, as %HH: as in docs/formats/config-measurement.md, ":" left as is.
std::string EscapeLeafKey(std::string_view text);

// Printable ASCII as it is, other bytes and "%" as %HH; cut at 1,024 bytes,
// which then end in "...".
std::string PrintableText(std::string_view text);

std::string DigestText(HashAlgorithm algorithm, ByteView digest);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_LEAF_LIST_H_
