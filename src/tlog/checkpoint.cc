#include "tlog/checkpoint.h"

#include <charconv>

#include "base/base64.h"
#include "fmt/format.h"
#include "tlog/utf8.h"

namespace vmattest::tlog {
namespace {

// Takes a line off the front, without its newline; false if there is none.
bool TakeLine(std::string_view& text, std::string_view& line) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return false;
  }
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

}  // namespace

absl::StatusOr<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() ||
      (text.size() > 1 && text[0] == '0')) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no number", text.substr(0, 32)));
  }
  return value;
}

absl::StatusOr<Checkpoint> ParseCheckpoint(std::string_view text) {
  std::string_view origin;
  std::string_view size;
  std::string_view root;
  if (!TakeLine(text, origin) || !TakeLine(text, size) ||
      !TakeLine(text, root) || origin.empty() || !IsNoteText(origin)) {
    return absl::InvalidArgumentError("checkpoint: not three lines");
  }
  Checkpoint checkpoint{.origin = std::string(origin)};
  ASSIGN_OR_RETURN_WITH(checkpoint.size, ParseDecimal(size),
                        "checkpoint: size");
  if (checkpoint.size > INT64_MAX) {
    return absl::InvalidArgumentError("checkpoint: size");
  }
  ASSIGN_OR_RETURN_WITH(checkpoint.root, ParseBase64(root), "checkpoint: root");
  if (checkpoint.root.size() != 32) {
    return absl::InvalidArgumentError("checkpoint: the root is not 32 bytes");
  }
  checkpoint.extension = text;
  std::string_view line;
  while (!text.empty()) {
    if (!TakeLine(text, line) || line.empty()) {
      return absl::InvalidArgumentError("checkpoint: an extension line");
    }
  }
  return checkpoint;
}

std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  return fmt::format("{}\n{}\n{}\n{}", checkpoint.origin, checkpoint.size,
                     ToBase64(checkpoint.root), checkpoint.extension);
}

}  // namespace vmattest::tlog
