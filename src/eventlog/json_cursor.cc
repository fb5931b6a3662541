#include "eventlog/json_cursor.h"

namespace vmattest::eventlog {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

void JsonCursor::SkipSpace() {
  while (offset_ < text_.size() && IsSpace(text_[offset_])) {
    ++offset_;
  }
}

bool JsonCursor::Consume(char token) {
  SkipSpace();
  if (offset_ == text_.size() || text_[offset_] != token) {
    return false;
  }
  ++offset_;
  return true;
}

bool JsonCursor::ConsumeString(std::string_view* value) {
  SkipSpace();
  if (offset_ == text_.size() || text_[offset_] != '"') {
    return false;
  }
  const size_t end = text_.find_first_of("\"\\", offset_ + 1);
  if (end == std::string_view::npos || text_[end] != '"') {
    return false;
  }
  *value = text_.substr(offset_ + 1, end - offset_ - 1);
  offset_ = end + 1;
  return true;
}

bool JsonCursor::ConsumeName(std::string_view name) {
  const size_t before = offset_;
  std::string_view found;
  if (ConsumeString(&found) && found == name && Consume(':')) {
    return true;
  }
  offset_ = before;
  return false;
}

bool JsonCursor::ConsumeObject(size_t limit, std::string_view* object) {
  SkipSpace();
  const std::string_view rest = text_.substr(offset_, limit);
  if (rest.empty() || rest.front() != '{') {
    return false;
  }
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      *object = rest.substr(0, i + 1);
      offset_ += i + 1;
      return true;
    }
  }
  return false;
}

bool JsonCursor::AtEnd() {
  SkipSpace();
  return offset_ == text_.size();
}

}  // namespace vmattest::eventlog
