#ifndef VMATTEST_EVENTLOG_JSON_CURSOR_H_
#define VMATTEST_EVENTLOG_JSON_CURSOR_H_

#include <cstddef>
#include <string_view>

namespace vmattest::eventlog {

// Walks a text of known shape without building what it holds, so that a long
// log costs one record of memory. White space between tokens is skipped. All
// are false, and do not move, if what they want is not next.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  bool Consume(char token);
  // "name":
  bool ConsumeName(std::string_view name);
  // A string without escapes, as base64 and fixed words are.
  bool ConsumeString(std::string_view* value);
  // An object of at most `limit` bytes; only its braces and strings are
  // understood, so parse it.
  bool ConsumeObject(size_t limit, std::string_view* object);
  bool AtEnd();
  [[nodiscard]] size_t offset() const { return offset_; }

 private:
  void SkipSpace();

  std::string_view text_;
  size_t offset_ = 0;
};

}  // namespace vmattest::eventlog

#endif  // VMATTEST_EVENTLOG_JSON_CURSOR_H_
