#include "measurement/live_xml.h"

#include <algorithm>
#include <array>
#include <string>

#include "measurement/firmware.h"
#include "measurement/leaf_path.h"

namespace vmattest::measurement {
namespace {

using Visitor = void (*)(XmlElement& live, const XmlElement& defined);

// What tells devices of one kind apart for certain; empty: their position.
std::string Identity(const XmlElement& device) {
  if (device.name == "disk") {
    return NaturalKey(device, "target@dev");
  }
  if (device.name == "interface") {
    return NaturalKey(device, "mac@address");
  }
  return device.name == "filesystem" ? NaturalKey(device, "target@dir") : "";
}

// Visits pairs of one device: of the same kind, the same position, and with
// the same target or MAC address where the kind has one.
void ForEachPair(XmlElement& live, const XmlElement& defined,
                 std::string_view kind, Visitor visit) {
  XmlElement* live_devices = live.Child("devices");
  const XmlElement* defined_devices = defined.Child("devices");
  if (live_devices == nullptr || defined_devices == nullptr) {
    return;
  }
  auto candidate = defined_devices->children.begin();
  const auto end = defined_devices->children.end();
  for (XmlElement& device : live_devices->children) {
    if (!device.Is(kind)) {
      continue;
    }
    const auto partner =
        std::find_if(candidate, end, [&device, kind](const XmlElement& other) {
          return other.Is(kind) && Identity(device) == Identity(other);
        });
    if (partner != end) {
      visit(device, *partner);
      candidate = std::next(partner);
    }
  }
}

void Replace(XmlElement& parent, std::string_view name,
             const XmlElement* replacement) {
  XmlElement* old = parent.Child(name);
  if (old != nullptr && replacement != nullptr) {
    *old = *replacement;
  } else if (old != nullptr) {
    parent.EraseChild(old);
  } else if (replacement != nullptr) {
    parent.children.push_back(*replacement);
  }
}

bool SameChild(const XmlElement& a, const XmlElement& b,
               std::string_view name) {
  const XmlElement* one = a.Child(name);
  const XmlElement* other = b.Child(name);
  return one == nullptr || other == nullptr ? one == other : *one == *other;
}

bool EraseIfOpen(XmlElement& live, const XmlElement& defined,
                 std::string_view attribute) {
  if (defined.Attribute(attribute) != nullptr ||
      live.Attribute(attribute) == nullptr) {
    return false;
  }
  live.Erase(attribute);
  return true;
}

bool IsFeature(const XmlElement& element) { return element.Is("feature"); }

// Whether the feature list of an expanded CPU grants what was asked for.
bool Grants(const XmlElement& live, const XmlElement& wanted) {
  const auto granted = std::find_if(
      live.children.begin(), live.children.end(),
      [&wanted](const XmlElement& feature) {
        return IsFeature(feature) && feature.Get("name") == wanted.Get("name");
      });
  const std::string_view asked = wanted.Get("policy");
  const bool on =
      granted != live.children.end() && granted->Get("policy") == "require";
  if (asked == "optional" || asked == "force") {
    return true;
  }
  return asked == "disable" || asked == "forbid" ? !on : on;
}

// Whether `live` is what libvirt makes of `defined` at start: the same CPU
// with its features spelled out. A named model stays the same one.
bool IsExpansion(const XmlElement& live, const XmlElement& defined) {
  if (live.Get("mode") != "custom" || live.Get("check") != "full" ||
      defined.Get("check") == "full") {
    return false;
  }
  for (const std::string_view kept :
       {"topology", "numa", "cache", "maxphysaddr"}) {
    if (!SameChild(live, defined, kept)) {
      return false;
    }
  }
  const std::string_view mode = defined.Get("mode");
  const XmlElement* model = defined.Child("model");
  const XmlElement* live_model = live.Child("model");
  if (mode == "custom" && defined.Get("match") != "minimum" &&
      (model == nullptr || live_model == nullptr ||
       model->Text() != live_model->Text())) {
    return false;
  }
  return mode != "host-passthrough" && mode != "maximum" &&
         std::all_of(defined.children.begin(), defined.children.end(),
                     [&live](const XmlElement& child) {
                       return !IsFeature(child) || Grants(live, child);
                     });
}

void TakeBackCpu(XmlElement& live, const XmlElement& defined) {
  const XmlElement* expanded = live.Child("cpu");
  const XmlElement* wanted = defined.Child("cpu");
  static const XmlElement kNone{"", "cpu", {}, {}, {}, 0};
  if (expanded != nullptr &&
      IsExpansion(*expanded, wanted == nullptr ? kNone : *wanted)) {
    Replace(live, "cpu", wanted);
  }
}

void TakeBackBalloon(XmlElement& live, const XmlElement& defined) {
  if (const XmlElement* wanted = defined.Child("currentMemory");
      wanted != nullptr) {
    Replace(live, "currentMemory", wanted);
  }
}

void TakeBackNvramTemplate(XmlElement& live, const XmlElement& defined) {
  XmlElement* os = live.Child("os");
  const XmlElement* defined_os = defined.Child("os");
  XmlElement* nvram = os == nullptr ? nullptr : os->Child("nvram");
  const XmlElement* wanted =
      defined_os == nullptr ? nullptr : defined_os->Child("nvram");
  if (nvram != nullptr && wanted != nullptr &&
      nvram->Text() == wanted->Text()) {
    EraseIfOpen(*nvram, *wanted, "template");
    EraseIfOpen(*nvram, *wanted, "templateFormat");
  }
}

// SMM that a chosen firmware needs was switched on with it.
void TakeBackSmm(XmlElement& live, const XmlElement& defined) {
  XmlElement* features = live.Child("features");
  const XmlElement* defined_features = defined.Child("features");
  const XmlElement* smm =
      features == nullptr ? nullptr : features->Child("smm");
  if (smm == nullptr || smm->Get("state") != "on" ||
      smm->attributes.size() != 1 || !smm->children.empty() ||
      (defined_features != nullptr &&
       defined_features->Child("smm") != nullptr)) {
    return;
  }
  features->EraseChild(smm);
  if (features->IsBare() && defined_features == nullptr) {
    live.EraseChild(features);
  }
}

// The loader that libvirt chose stays: it is what runs.
void TakeBackFirmware(XmlElement& live, const XmlElement& defined) {
  XmlElement* os = live.Child("os");
  const XmlElement* wanted = defined.Child("os");
  const XmlElement* loader = os == nullptr ? nullptr : os->Child("loader");
  if (loader == nullptr || loader->Text().empty() || wanted == nullptr ||
      !LeavesFirmwareOpen(*wanted)) {
    return;
  }
  os->Set("firmware", wanted->Get("firmware"));
  static const XmlElement kNone{"", "nvram", {}, {}, {}, 0};
  const XmlElement* wanted_nvram = wanted->Child("nvram");
  if (XmlElement* nvram = os->Child("nvram"); nvram != nullptr) {
    const XmlElement& from = wanted_nvram == nullptr ? kNone : *wanted_nvram;
    EraseIfOpen(*nvram, from, "template");
    EraseIfOpen(*nvram, from, "templateFormat");
  }
  if (loader->Get("secure") == "yes") {
    TakeBackSmm(live, defined);
  }
}

void TakeBackLayers(XmlElement& live, const XmlElement& defined) {
  XmlElement* store = live.Child("backingStore");
  const XmlElement* wanted = defined.Child("backingStore");
  if (store == nullptr) {
    return;
  }
  if (wanted == nullptr) {
    live.EraseChild(store);
  } else if (!wanted->IsBare()) {
    TakeBackLayers(*store, *wanted);
  }
}

bool SameSource(const XmlElement* a, const XmlElement* b) {
  return a != nullptr && b != nullptr && a->Get("file") == b->Get("file") &&
         a->Get("dev") == b->Get("dev") &&
         !(a->Get("file").empty() && a->Get("dev").empty());
}

// A transient disk runs on an overlay over what is defined.
void TakeBackTransientOverlay(XmlElement& disk, const XmlElement& defined) {
  const XmlElement* store = disk.Child("backingStore");
  const XmlElement* wanted = defined.Child("source");
  if (defined.Child("transient") == nullptr || store == nullptr ||
      !SameSource(store->Child("source"), wanted)) {
    return;
  }
  Replace(disk, "source", wanted);
  Replace(disk, "driver", defined.Child("driver"));
  Replace(disk, "backingStore", defined.Child("backingStore"));
}

void TakeBackEmptyDrive(XmlElement& disk, const XmlElement& defined) {
  if (disk.Child("source") == nullptr && defined.Child("source") == nullptr) {
    Replace(disk, "driver", defined.Child("driver"));
  }
}

void TakeBackTlsDefault(XmlElement& device, const XmlElement& defined) {
  XmlElement* source = device.Child("source");
  const XmlElement* wanted = defined.Child("source");
  if (source != nullptr && wanted != nullptr) {
    EraseIfOpen(*source, *wanted, "tls");
  }
}

void TakeBackListen(XmlElement& graphics, const XmlElement& defined) {
  EraseIfOpen(graphics, defined, "listen");
  if (defined.Get("websocket") == "-1" &&
      graphics.Attribute("websocket") != nullptr) {
    graphics.Set("websocket", "-1");
  }
  auto wanted = defined.children.begin();
  for (XmlElement& child : graphics.children) {
    if (!child.Is("listen")) {
      continue;
    }
    wanted = std::find_if(wanted, defined.children.end(),
                          [](const XmlElement& e) { return e.Is("listen"); });
    if (wanted == defined.children.end()) {
      return;
    }
    if (wanted->Get("type") == child.Get("type")) {
      EraseIfOpen(child, *wanted, "address");
    }
    ++wanted;
  }
}

// An interface on a libvirt network shows what the network made of it.
void TakeBackNetwork(XmlElement& interface, const XmlElement& defined) {
  XmlElement* source = interface.Child("source");
  const XmlElement* wanted = defined.Child("source");
  if (source == nullptr || wanted == nullptr ||
      defined.Get("type") != "network" ||
      source->Attribute("portid") == nullptr ||
      source->Get("network") != wanted->Get("network")) {
    return;
  }
  interface.Set("type", "network");
  *source = *wanted;
  for (const std::string_view given : {"virtualport", "vlan", "bandwidth"}) {
    if (defined.Child(given) == nullptr) {
      Replace(interface, given, nullptr);
    }
  }
}

void TakeBackModuleAddress(XmlElement& module, const XmlElement& defined) {
  XmlElement* address = module.Child("address");
  const XmlElement* wanted = defined.Child("address");
  if (address != nullptr && wanted != nullptr) {
    EraseIfOpen(*address, *wanted, "base");
  }
}

void TakeBackDaemonBinary(XmlElement& filesystem, const XmlElement& defined) {
  constexpr std::array<std::string_view, 2> kDefaults = {
      "/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"};
  XmlElement* binary = filesystem.Child("binary");
  if (binary == nullptr || std::find(kDefaults.begin(), kDefaults.end(),
                                     binary->Get("path")) == kDefaults.end()) {
    return;
  }
  const XmlElement* wanted = defined.Child("binary");
  if (wanted == nullptr) {
    binary->Erase("path");
    if (binary->IsBare()) {
      filesystem.EraseChild(binary);
    }
  } else {
    EraseIfOpen(*binary, *wanted, "path");
  }
}

void TakeBackHostDevice(XmlElement& hostdev, const XmlElement& defined) {
  const XmlElement* driver = hostdev.Child("driver");
  if (defined.Child("driver") == nullptr && driver != nullptr &&
      driver->Get("name") == "vfio" && driver->attributes.size() == 1 &&
      driver->children.empty()) {
    hostdev.EraseChild(driver);
  }
  XmlElement* source = hostdev.Child("source");
  const XmlElement* wanted = defined.Child("source");
  if (hostdev.Get("type") == "usb" && source != nullptr && wanted != nullptr &&
      wanted->Child("address") == nullptr && wanted->Child("vendor")) {
    Replace(*source, "address", nullptr);
  }
}

template <Visitor visit>
void OnDisks(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "disk", visit);
}

template <Visitor visit>
void OnCharacterDevices(XmlElement& live, const XmlElement& defined) {
  for (const std::string_view kind :
       {"serial", "parallel", "console", "channel", "redirdev", "smartcard"}) {
    ForEachPair(live, defined, kind, visit);
  }
}

void OnGraphics(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "graphics", TakeBackListen);
}
void OnInterfaces(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "interface", TakeBackNetwork);
}
void OnModules(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "memory", TakeBackModuleAddress);
}
void OnFilesystems(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "filesystem", TakeBackDaemonBinary);
}
void OnHostDevices(XmlElement& live, const XmlElement& defined) {
  ForEachPair(live, defined, "hostdev", TakeBackHostDevice);
}

constexpr FilledInRule kRules[] = {
    {"CPU expansion",
     "libvirt spells out the features of the CPU model it chose; taken back if "
     "they grant what the definition asks for.",
     TakeBackCpu},
    {"balloon",
     "currentMemory follows the balloon and counts memory modules while a "
     "domain runs.",
     TakeBackBalloon},
    {"NVRAM template",
     "libvirt looks the template of a loader up in its own configuration.",
     TakeBackNvramTemplate},
    {"chosen firmware",
     "libvirt drops firmware='efi' once it chose, and switches on the SMM that "
     "the firmware needs; the loader it chose stays.",
     TakeBackFirmware},
    {"transient overlay", "a transient disk runs on an overlay made at start.",
     OnDisks<TakeBackTransientOverlay>},
    {"detected image layers",
     "libvirt follows backing files from the images; the layers are measured "
     "as content, from the images.",
     OnDisks<TakeBackLayers>},
    {"driver of an empty drive", "libvirt clears the format with the medium.",
     OnDisks<TakeBackEmptyDrive>},
    {"TLS default of character devices",
     "libvirt shows the default of qemu.conf, which is measured.",
     OnCharacterDevices<TakeBackTlsDefault>},
    {"graphics address",
     "libvirt shows the default of qemu.conf, which is measured, and the "
     "websocket port it chose for -1.",
     OnGraphics},
    {"what a network makes of an interface",
     "the definition names the network; bridge, device, virtual port, VLAN and "
     "bandwidth come from the network.",
     OnInterfaces},
    {"address of a memory module", "libvirt places modules at start.",
     OnModules},
    {"virtiofsd",
     "libvirt finds the program in its own folders, where it is measured.",
     OnFilesystems},
    {"host device details",
     "libvirt shows the driver it chose and where on the bus it found a USB "
     "device.",
     OnHostDevices},
};

std::string_view UuidOf(const XmlElement& domain) {
  const XmlElement* uuid = domain.Child("uuid");
  return uuid == nullptr ? std::string_view() : uuid->Text();
}

absl::StatusOr<XmlElement> ParseDomain(std::string_view xml,
                                       std::string_view which) {
  ASSIGN_OR_RETURN_WITH(XmlElement domain, ParseXml(xml), which);
  if (!domain.Is("domain")) {
    return absl::InvalidArgumentError(std::string(which) +
                                      ": the root element is <" + domain.name +
                                      ">, not <domain>");
  }
  return domain;
}

}  // namespace

std::span<const FilledInRule> FilledInRules() { return kRules; }

absl::StatusOr<std::string> AsDefined(std::string_view live_xml,
                                      std::string_view inactive_xml) {
  if (inactive_xml.empty()) {
    return std::string(live_xml);
  }
  ASSIGN_OR_RETURN(XmlElement live, ParseDomain(live_xml, "live XML"));
  ASSIGN_OR_RETURN(const XmlElement defined,
                   ParseDomain(inactive_xml, "inactive XML"));
  if (UuidOf(live) != UuidOf(defined)) {
    return absl::InvalidArgumentError(
        "live and inactive XML are of two domains");
  }
  for (const FilledInRule& rule : kRules) {
    rule.take_back(live, defined);
  }
  return WriteXml(live);
}

}  // namespace vmattest::measurement
