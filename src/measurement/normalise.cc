#include "measurement/normalise.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string>

namespace vmattest::measurement {
namespace {

bool HasPrefix(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

void ForEachDevice(XmlElement& domain,
                   const std::function<void(XmlElement&)>& visit) {
  for (XmlElement& part : domain.children) {
    if (!part.Is("devices")) {
      continue;
    }
    for (XmlElement& device : part.children) {
      visit(device);
    }
  }
}

bool IsOneOf(const XmlElement& element,
             std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return element.Is(name); });
}

void EraseIfBare(XmlElement& parent, std::string_view name) {
  if (const XmlElement* child = parent.Child(name);
      child != nullptr && child->IsBare()) {
    parent.EraseChild(child);
  }
}

void DropId(XmlElement& domain) { domain.Erase("id"); }

void DropDefaultPartition(XmlElement& domain) {
  XmlElement* resource = domain.Child("resource");
  if (resource == nullptr) {
    return;
  }
  const XmlElement* partition = resource->Child("partition");
  if (partition != nullptr && partition->attributes.empty() &&
      partition->Text() == "/machine") {
    resource->EraseChild(partition);
    EraseIfBare(domain, "resource");
  }
}

void DropAliases(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    const XmlElement* alias = device.Child("alias");
    if (alias != nullptr && alias->children.empty() && alias->texts.empty() &&
        alias->attributes.size() == 1 && alias->Attribute("name") != nullptr &&
        !HasPrefix(alias->Get("name"), "ua-")) {
      device.EraseChild(alias);
    }
  });
}

void DropPtyPaths(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    if (!IsOneOf(device, {"serial", "parallel", "console", "channel"}) ||
        device.Get("type") != "pty") {
      return;
    }
    if (HasPrefix(device.Get("tty"), "/dev/pts/")) {
      device.Erase("tty");
    }
    XmlElement* source = device.Child("source");
    if (source != nullptr && HasPrefix(source->Get("path"), "/dev/pts/")) {
      source->Erase("path");
      EraseIfBare(device, "source");
    }
  });
}

void DropConsolePorts(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* target = device.Child("target");
    if (device.Is("console") && target != nullptr &&
        target->Get("type") == "virtio") {
      target->Erase("port");
    }
  });
}

// "/var/lib/libvirt/qemu/channel/target/domain-7-web/NAME" and, of newer
// libvirt, "/run/libvirt/qemu/channel/7-web/NAME".
bool IsAutomaticChannel(std::string_view path, std::string_view name) {
  const size_t slash = path.rfind('/');
  if (name.empty() || slash == std::string_view::npos ||
      path.substr(slash + 1) != name) {
    return false;
  }
  const std::string_view folder = path.substr(0, slash);
  constexpr std::string_view kNewer = "/run/libvirt/qemu/channel/";
  if (HasPrefix(folder, kNewer)) {
    const std::string_view run = folder.substr(kNewer.size());
    const size_t digits = run.find_first_not_of("0123456789");
    return digits != 0 && digits != std::string_view::npos &&
           run[digits] == '-' && run.find('/') == std::string_view::npos;
  }
  return folder.find("/libvirt/qemu/channel/target/") != std::string_view::npos;
}

void DropChannelPaths(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* source = device.Child("source");
    const XmlElement* target = device.Child("target");
    if (!device.Is("channel") || device.Get("type") != "unix" ||
        source == nullptr || target == nullptr ||
        source->Get("mode") != "bind") {
      return;
    }
    if (IsAutomaticChannel(source->Get("path"), target->Get("name"))) {
      source->Erase("path");
    }
    if (source->attributes.size() == 1 && source->children.empty() &&
        source->texts.empty()) {
      device.EraseChild(source);
    }
  });
}

void DropChannelState(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* target = device.Child("target");
    if (device.Is("channel") && target != nullptr) {
      target->Erase("state");
    }
  });
}

void DropDynamicLabels(XmlElement& domain) {
  for (size_t i = domain.children.size(); i-- > 0;) {
    XmlElement& label = domain.children[i];
    if (!label.Is("seclabel") || label.Get("type") != "dynamic" ||
        label.Get("relabel") == "no") {
      continue;
    }
    for (const std::string_view part : {"label", "imagelabel"}) {
      if (const XmlElement* child = label.Child(part); child != nullptr) {
        label.EraseChild(child);
      }
    }
    if (label.children.empty() && label.texts.empty()) {
      domain.EraseChild(&label);
    }
  }
}

void DropAutoPorts(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    if (device.Is("graphics") && device.Get("autoport") == "yes") {
      device.Erase("port");
      device.Erase("tlsPort");
    }
  });
}

void DropAutoSockets(XmlElement& domain) {
  const auto drop = [](XmlElement& element) {
    const std::string_view socket = element.Get("socket");
    if (socket.find("/libvirt/qemu/domain-") != std::string_view::npos &&
        (socket.ends_with("/vnc.sock") || socket.ends_with("/spice.sock"))) {
      element.Erase("socket");
    }
  };
  ForEachDevice(domain, [&drop](XmlElement& device) {
    if (!device.Is("graphics")) {
      return;
    }
    drop(device);
    for (XmlElement& child : device.children) {
      if (child.Is("listen") && child.Get("type") == "socket") {
        drop(child);
      }
    }
  });
}

void DropTapNames(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* target = device.Child("target");
    if (!device.Is("interface") || target == nullptr) {
      return;
    }
    for (const std::string_view prefix : {"vnet", "macvtap", "macvlan"}) {
      if (HasPrefix(target->Get("dev"), prefix)) {
        target->Erase("dev");
        EraseIfBare(device, "target");
        return;
      }
    }
  });
}

void DropNetworkPorts(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* source = device.Child("source");
    if (device.Is("interface") && device.Get("type") == "network" &&
        source != nullptr && source->Attribute("network") != nullptr) {
      source->Erase("portid");
      source->Erase("bridge");
    }
  });
}

void DropLayerNumbers(XmlElement& store) {
  for (XmlElement& child : store.children) {
    if (IsOneOf(child, {"source", "backingStore", "mirror"})) {
      child.Erase("index");
      DropLayerNumbers(child);
    }
  }
}

void DropDiskIndexes(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    if (device.Is("disk")) {
      DropLayerNumbers(device);
    }
  });
}

void DropMemoryCurrent(XmlElement& domain) {
  ForEachDevice(domain, [](XmlElement& device) {
    XmlElement* target = device.Child("target");
    if (!device.Is("memory") || target == nullptr) {
      return;
    }
    if (const XmlElement* current = target->Child("current");
        current != nullptr) {
      target->EraseChild(current);
    }
  });
}

constexpr VolatileRule kRules[] = {
    {"domain id", "libvirt numbers a domain anew at each start.", DropId},
    {"default resource partition",
     "libvirt adds /machine at start; it is what an absent element means.",
     DropDefaultPartition},
    {"device aliases",
     "libvirt names devices at start and ignores names without 'ua-'.",
     DropAliases},
    {"pty paths", "the kernel hands out pseudo-terminals at start.",
     DropPtyPaths},
    {"virtio console ports",
     "libvirt recounts them each time it reads a definition; QEMU never sees "
     "them.",
     DropConsolePorts},
    {"automatic channel sockets",
     "libvirt puts channel sockets into a folder named after the run and "
     "ignores such a path in a definition.",
     DropChannelPaths},
    {"channel state", "the guest connects and disconnects as it likes.",
     DropChannelState},
    {"dynamic security labels",
     "libvirt chooses the label at start; static labels and base labels stay.",
     DropDynamicLabels},
    {"automatic graphics ports",
     "with autoport='yes' libvirt chooses the port at start and ignores one in "
     "a definition.",
     DropAutoPorts},
    {"automatic graphics sockets",
     "libvirt puts the socket into a folder named after the run and ignores "
     "such a path in a definition.",
     DropAutoSockets},
    {"generated interface names",
     "libvirt numbers tap and macvtap devices at start and ignores its own "
     "prefixes in a definition.",
     DropTapNames},
    {"network port",
     "libvirt's network driver makes the port at start; the definition names "
     "the network.",
     DropNetworkPorts},
    {"disk layer numbers", "libvirt numbers image layers at start.",
     DropDiskIndexes},
    {"plugged part of a memory module",
     "the guest decides how much of a virtio-mem module it uses at a time.",
     DropMemoryCurrent},
};

}  // namespace

std::span<const VolatileRule> VolatileRules() { return kRules; }

void Normalise(XmlElement& domain) {
  for (const VolatileRule& rule : kRules) {
    rule.apply(domain);
  }
}

}  // namespace vmattest::measurement
