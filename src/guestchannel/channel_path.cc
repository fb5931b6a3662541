#include "guestchannel/channel_path.h"

#include <sys/un.h>

#include "fmt/format.h"
#include "guestchannel/protocol/messages.h"
#include "measurement/xml_element.h"

namespace vmattest::guestchannel {
namespace {

using measurement::XmlElement;

bool IsAgents(const XmlElement& device) {
  const XmlElement* const target = device.Child("target");
  return device.Is("channel") && target != nullptr &&
         target->Get("type") == "virtio" && target->Get("name") == kPortName;
}

absl::Status Unfit(std::string_view why) {
  return absl::FailedPreconditionError(
      fmt::format("<channel> of {}: {}", kPortName, why));
}

}  // namespace

absl::StatusOr<std::string> FindChannelPath(std::string_view live_xml) {
  ASSIGN_OR_RETURN(const XmlElement domain, measurement::ParseXml(live_xml));
  static const XmlElement kNone;
  const XmlElement* const devices = domain.Child("devices");
  const XmlElement* found = nullptr;
  for (const XmlElement& device :
       (devices == nullptr ? kNone : *devices).children) {
    if (!IsAgents(device)) {
      continue;
    }
    if (found != nullptr) {
      return Unfit("there are two");
    }
    found = &device;
  }
  if (found == nullptr) {
    return absl::NotFoundError(
        fmt::format("it has no <channel> of the name {}", kPortName));
  }
  if (found->Get("type") != "unix") {
    return Unfit("not of type 'unix'");
  }
  const XmlElement* const source = found->Child("source");
  if (source == nullptr || source->Get("mode") != "bind") {
    return Unfit("its <source> is not of mode 'bind'");
  }
  const std::string_view path = source->Get("path");
  if (path.empty() || path.front() != '/' ||
      path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Unfit("its <source> has no path that a socket may have");
  }
  return std::string(path);
}

}  // namespace vmattest::guestchannel
