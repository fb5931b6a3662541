// Hostile reference payloads and YAML: what is accepted has one encoding, says
// the same as YAML, and can be evaluated. The bytes also serve as leaves.

#include <algorithm>
#include <cstdlib>

#include "reference/path_pattern.h"
#include "reference/reference.h"

namespace vmattest::reference {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Lines "PATH=VALUE", typed by their length.
std::vector<ConfigLeaf> LeavesOf(std::string_view text) {
  constexpr size_t kMost = 200;
  std::vector<ConfigLeaf> leaves;
  while (!text.empty() && leaves.size() < kMost) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t middle = std::min(line.find('='), line.size());
    leaves.push_back({std::string(line.substr(0, middle)),
                      static_cast<LeafType>(1 + line.size() % 8),
                      std::string(line.substr(middle))});
  }
  return leaves;
}

void Use(const Reference& reference, std::string_view text) {
  (void)Evaluate(reference, LeavesOf(text), DigestBytes(32));
  (void)Evaluate(reference, {}, DigestBytes(32));
  (void)Select({reference}, "*", WallTime());
}

void Run(std::string_view text) {
  if (const auto parsed = Parse(AsBytes(text)); parsed.ok()) {
    Require(AsText(Encode(*parsed)) == text);
    const auto again = FromYaml(ToYaml(*parsed));
    Require(again.ok() && AsText(Encode(*again)) == text);
    Use(*parsed, text);
  }
  if (const auto read = FromYaml(text); read.ok()) {
    const auto again = FromYaml(ToYaml(*read));
    Require(again.ok() && Encode(*again) == Encode(*read));
    Use(*read, text);
  }
  const size_t middle = text.find('\n');
  if (middle < 512 && text.size() < 4096) {
    (void)PathPattern(text.substr(0, middle)).Matches(text.substr(middle + 1));
  }
}

}  // namespace
}  // namespace vmattest::reference

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::reference::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
