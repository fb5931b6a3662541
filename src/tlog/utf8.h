#ifndef VMATTEST_TLOG_UTF8_H_
#define VMATTEST_TLOG_UTF8_H_

#include <string_view>

// What signed notes ask of their text. Pure.

namespace vmattest::tlog {

// UTF-8 (RFC 3629) without control characters below U+0020 but newline.
bool IsNoteText(std::string_view text);
// UTF-8 without control characters and without characters that Unicode calls
// White_Space.
bool IsUtf8WithoutSpaces(std::string_view text);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_UTF8_H_
