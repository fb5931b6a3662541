#include "reference/path_pattern.h"

#include <algorithm>

namespace vmattest::reference {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr std::string_view kAnyRun = "**";

// Where the shortest match of `part` at the beginning of `text` ends; if
// `whole`, only one that ends with `text`. To come back to the last "*" is
// enough: what an earlier one could take, the last one can, because neither
// crosses a '/' and a '/' between them is a character of the part.
size_t MatchPart(std::string_view part, std::string_view text, bool whole) {
  size_t p = 0;
  size_t t = 0;
  size_t star = kNone;
  size_t taken = 0;  // up to where `star` took characters
  while (true) {
    if (p == part.size() && (!whole || t == text.size())) {
      return t;
    }
    if (p < part.size() && part[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < part.size() && t < text.size() && part[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != kNone && taken < text.size() && text[taken] != '/') {
      p = star + 1;
      t = ++taken;
    } else {
      return kNone;
    }
  }
}

// The earliest end of `part` anywhere in `text` from `begin` on.
size_t FindPart(std::string_view part, std::string_view text, size_t begin) {
  size_t earliest = kNone;
  for (size_t at = begin; at <= text.size() && at < earliest; ++at) {
    const size_t end = MatchPart(part, text.substr(at), false);
    if (end != kNone) {
      earliest = std::min(earliest, at + end);
    }
  }
  return earliest;
}

}  // namespace

PathPattern::PathPattern(std::string_view text) {
  while (true) {
    const size_t end = text.find(kAnyRun);
    parts_.emplace_back(text.substr(0, end));
    if (end == kNone) {
      return;
    }
    text.remove_prefix(end + kAnyRun.size());
  }
}

bool PathPattern::Matches(std::string_view path) const {
  const bool one = parts_.size() == 1;
  size_t at = MatchPart(parts_.front(), path, one);
  if (one || at == kNone) {
    return at != kNone;
  }
  for (size_t i = 1; i + 1 < parts_.size(); ++i) {
    at = FindPart(parts_[i], path, at);
    if (at == kNone) {
      return false;
    }
  }
  for (; at <= path.size(); ++at) {
    if (MatchPart(parts_.back(), path.substr(at), true) != kNone) {
      return true;
    }
  }
  return false;
}

}  // namespace vmattest::reference
