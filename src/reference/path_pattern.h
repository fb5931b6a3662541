#ifndef VMATTEST_REFERENCE_PATH_PATTERN_H_
#define VMATTEST_REFERENCE_PATH_PATTERN_H_

#include <string>
#include <string_view>
#include <vector>

namespace vmattest::reference {

// A pattern over leaf paths: "*" stands for any run of characters but '/',
// "**" for any run; everything else is itself, brackets too. Immutable;
// callable from any thread. Matching takes at most length of the path times
// length of the pattern, squared for patterns with "**" inside.
class PathPattern {
 public:
  explicit PathPattern(std::string_view text);
  [[nodiscard]] bool Matches(std::string_view path) const;

 private:
  // Between the "**"s; each may hold "*"s.
  std::vector<std::string> parts_;
};

inline bool IsPattern(std::string_view path) {
  return path.find('*') != std::string_view::npos;
}

}  // namespace vmattest::reference

#endif  // VMATTEST_REFERENCE_PATH_PATTERN_H_
