#include "disk/os_release.h"

#include <algorithm>

namespace vmattest::disk {
namespace {

constexpr uint64_t kMaxSize = uint64_t{64} << 10;

// A shell assignment's right side: quotes off, backslashes resolved.
std::string Unquote(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
      text.back() == text.front()) {
    text = text.substr(1, text.size() - 2);
  }
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
    }
    out += text[i];
  }
  return out;
}

}  // namespace

std::string ParseOsRelease(std::string_view text) {
  std::string id;
  std::string version;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with("ID=")) {
      id = Unquote(line.substr(3));
    } else if (line.starts_with("VERSION_ID=")) {
      version = Unquote(line.substr(11));
    }
  }
  return id.empty() || version.empty() ? id : id + " " + version;
}

absl::StatusOr<std::string> ReadOsRelease(FileTree& tree) {
  absl::StatusOr<FileEntry> found = tree.Find("etc/os-release");
  if (absl::IsNotFound(found.status())) {
    found = tree.Find("usr/lib/os-release");
  }
  RETURN_IF_ERROR(found.status());
  ASSIGN_OR_RETURN(const auto file, tree.Open(*found));
  ASSIGN_OR_RETURN(const Bytes content, ReadAll(*file, kMaxSize));
  return ParseOsRelease(AsText(content));
}

}  // namespace vmattest::disk
