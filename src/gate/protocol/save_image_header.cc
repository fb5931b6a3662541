#include "gate/protocol/save_image_header.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/uuid.h"

namespace vmattest::gate {
namespace {

constexpr std::string_view kComplete = "LibvirtQemudSave";
constexpr std::string_view kPartial = "LibvirtQemudPart";
constexpr size_t kMagic = 16;
constexpr uint32_t kNewest = 2;
constexpr size_t kHeader = kMagic + 5 * 4 + 14 * 4;

// libvirt writes its own machine's byte order.
uint32_t Number(ByteView bytes, size_t index) {
  uint32_t number = 0;
  std::memcpy(&number, bytes.data() + kMagic + index * 4, sizeof(number));
  return number;
}

}  // namespace

std::string FirstUuid(std::string_view xml) {
  constexpr std::string_view kBegin = "<uuid>";
  const size_t begin = xml.find(kBegin);
  const size_t end = begin == std::string_view::npos
                         ? std::string_view::npos
                         : xml.find("</uuid>", begin);
  if (end == std::string_view::npos) {
    return "";
  }
  const size_t from = begin + kBegin.size();
  const absl::StatusOr<Uuid> uuid = ParseUuid(xml.substr(from, end - from));
  return uuid.ok() ? ToString(*uuid) : "";
}

std::optional<SaveImageHeader> ParseSaveImageHeader(ByteView prefix) {
  if (prefix.size() < kHeader) {
    return std::nullopt;
  }
  const std::string_view magic = AsText(prefix.first(kMagic));
  const uint32_t version = Number(prefix, 0);
  if ((magic != kComplete && magic != kPartial) || version == 0 ||
      version > kNewest) {
    return std::nullopt;
  }
  const ByteView rest = prefix.subspan(kHeader);
  const size_t length = std::min<size_t>(Number(prefix, 1), rest.size());
  const std::string_view xml = AsText(rest.first(length));
  SaveImageHeader header;
  header.complete = magic == kComplete;
  header.vm_uuid = FirstUuid(xml.substr(0, xml.find('\0')));
  if (header.vm_uuid.empty()) {
    return std::nullopt;
  }
  return header;
}

std::optional<SaveImageHeader> ReadSaveImageHeader(int fd) {
  Bytes prefix(kSaveImagePrefix);
  size_t have = 0;
  while (have < prefix.size()) {
    const ssize_t got = pread(fd, prefix.data() + have, prefix.size() - have,
                              static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return std::nullopt;
    }
    if (got == 0) {
      break;
    }
    have += static_cast<size_t>(got);
    if (have >= kMagic && AsText(ByteView(prefix).first(kMagic)) != kComplete &&
        AsText(ByteView(prefix).first(kMagic)) != kPartial) {
      return std::nullopt;
    }
  }
  return ParseSaveImageHeader(ByteView(prefix).first(have));
}

}  // namespace vmattest::gate
