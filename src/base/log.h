#ifndef VMATTEST_BASE_LOG_H_
#define VMATTEST_BASE_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

// Structured log over spdlog: one event, then key=value pairs, values quoted
// and escaped so that hostile text cannot forge a line. Only programs and the
// use-case layer log; libraries return what they know. Callable from any
// thread.

namespace vmattest::log {

enum class Level { kDebug, kInfo, kWarning, kError };

using Field = std::pair<std::string_view, std::string>;

// To stderr. `level` is debug|info|warning|error; INVALID_ARGUMENT otherwise.
// Under systemd (JOURNAL_STREAM set) lines carry a priority prefix, no time.
absl::Status Configure(std::string_view level);

void Write(Level level, std::string_view event,
           std::initializer_list<Field> fields = {});

inline void Debug(std::string_view event,
                  std::initializer_list<Field> fields = {}) {
  Write(Level::kDebug, event, fields);
}
inline void Info(std::string_view event,
                 std::initializer_list<Field> fields = {}) {
  Write(Level::kInfo, event, fields);
}
inline void Warning(std::string_view event,
                    std::initializer_list<Field> fields = {}) {
  Write(Level::kWarning, event, fields);
}
inline void Error(std::string_view event,
                  std::initializer_list<Field> fields = {}) {
  Write(Level::kError, event, fields);
}

// The text as a quoted field value: quotes, backslashes and control bytes
// escaped, cut at 1,024 bytes.
std::string Quote(std::string_view text);

}  // namespace vmattest::log

#endif  // VMATTEST_BASE_LOG_H_
