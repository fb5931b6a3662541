#include "base/log.h"

#include <cstdlib>
#include <memory>

#include "fmt/format.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace vmattest::log {
namespace {

constexpr size_t kMaxValue = 1024;

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  std::abort();
}

// syslog(3) priorities, as sd-daemon(3) reads them from stderr.
int Priority(Level level) {
  switch (level) {
    case Level::kDebug:
      return 7;
    case Level::kInfo:
      return 6;
    case Level::kWarning:
      return 4;
    case Level::kError:
      return 3;
  }
  std::abort();
}

bool UnderJournal() {
  static const bool under = std::getenv("JOURNAL_STREAM") != nullptr;
  return under;
}

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>(
        "vmattest", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(UnderJournal() ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *logger;
}

}  // namespace

absl::Status Configure(std::string_view level) {
  if (level == "debug") {
    Logger().set_level(spdlog::level::debug);
  } else if (level == "info") {
    Logger().set_level(spdlog::level::info);
  } else if (level == "warning") {
    Logger().set_level(spdlog::level::warn);
  } else if (level == "error") {
    Logger().set_level(spdlog::level::err);
  } else {
    return absl::InvalidArgumentError(fmt::format(
        "log level '{}' is none of debug, info, warning, error", level));
  }
  return absl::OkStatus();
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, kMaxValue)) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  if (text.size() > kMaxValue) {
    quoted += "...";
  }
  quoted += '"';
  return quoted;
}

void Write(Level level, std::string_view event,
           std::initializer_list<Field> fields) {
  if (!Logger().should_log(ToSpdlog(level))) {
    return;
  }
  std::string line = UnderJournal() ? fmt::format("<{}>", Priority(level)) : "";
  line += event;
  for (const auto& [key, value] : fields) {
    line += fmt::format(" {}={}", key, Quote(value));
  }
  Logger().log(ToSpdlog(level), line);
}

}  // namespace vmattest::log
