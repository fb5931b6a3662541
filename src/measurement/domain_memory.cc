#include "measurement/domain_memory.h"

#include <charconv>
#include <optional>

#include "fmt/format.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {
namespace {

constexpr std::string_view kQemuNamespace =
    "http://libvirt.org/schemas/domain/qemu/1.0";

std::optional<uint64_t> Number(std::string_view text) {
  int base = 10;
  if (text.substr(0, 2) == "0x") {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// libvirt's units; it writes KiB itself.
std::optional<uint64_t> UnitBytes(std::string_view unit) {
  if (unit.empty() || unit == "KiB" || unit == "k" || unit == "K") {
    return 1024;
  }
  if (unit == "b" || unit == "bytes") {
    return 1;
  }
  if (unit == "MiB" || unit == "M") {
    return uint64_t{1} << 20;
  }
  if (unit == "GiB" || unit == "G") {
    return uint64_t{1} << 30;
  }
  return std::nullopt;
}

absl::Status Wrong(const XmlElement& element, std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("line {}: <{}>: {}", element.line, element.name, what));
}

absl::StatusOr<uint64_t> Size(const XmlElement& element,
                              std::string_view text) {
  const auto number = Number(text);
  const auto unit = UnitBytes(element.Get("unit"));
  if (!number || !unit || *number > UINT64_MAX / *unit) {
    return Wrong(element, "no size");
  }
  return *number * *unit;
}

// DIMMs have theirs where devices have it, virtio's devices as a property of
// what they give (libvirt 9.4).
std::optional<uint64_t> AddressOf(const XmlElement& device,
                                  const XmlElement& target) {
  const XmlElement* address = device.Child("address");
  if (address == nullptr || address->Get("type") != "dimm") {
    address = target.Child("address");
  }
  const std::string* const base =
      address == nullptr ? nullptr : address->Attribute("base");
  return base == nullptr ? std::nullopt : Number(*base);
}

absl::StatusOr<memory::DomainMemory::Device> Device(const XmlElement& element) {
  memory::DomainMemory::Device device;
  device.model = element.Get("model");
  if (const XmlElement* alias = element.Child("alias")) {
    device.alias = alias->Get("name");
  }
  const XmlElement* const target = element.Child("target");
  const XmlElement* const size =
      target == nullptr ? nullptr : target->Child("size");
  if (size == nullptr) {
    return Wrong(element, "no size");
  }
  ASSIGN_OR_RETURN(device.bytes, Size(*size, size->Text()));
  device.address = AddressOf(element, *target);
  if (const XmlElement* block = target->Child("block")) {
    ASSIGN_OR_RETURN(device.block_bytes, Size(*block, block->Text()));
  }
  return device;
}

absl::Status ReadDevices(const XmlElement& domain,
                         memory::DomainMemory& memory) {
  const XmlElement* const devices = domain.Child("devices");
  if (devices == nullptr) {
    return absl::OkStatus();
  }
  for (const XmlElement& element : devices->children) {
    if (element.Is("memory")) {
      ASSIGN_OR_RETURN(auto device, Device(element));
      memory.devices.push_back(std::move(device));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadCells(const XmlElement& domain, memory::DomainMemory& memory) {
  const XmlElement* const cpu = domain.Child("cpu");
  const XmlElement* const numa = cpu == nullptr ? nullptr : cpu->Child("numa");
  if (numa == nullptr) {
    return absl::OkStatus();
  }
  for (const XmlElement& cell : numa->children) {
    if (cell.Is("cell")) {
      ASSIGN_OR_RETURN(const uint64_t bytes, Size(cell, cell.Get("memory")));
      memory.cells.push_back(bytes);
    }
  }
  return absl::OkStatus();
}

bool HasOwnArguments(const XmlElement& domain) {
  for (const XmlElement& child : domain.children) {
    if (child.ns == kQemuNamespace &&
        (child.name == "commandline" || child.name == "override")) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<memory::DomainMemory> ParseDomainMemory(
    std::string_view live_xml) {
  ASSIGN_OR_RETURN(const XmlElement domain, ParseXml(live_xml));
  const XmlElement* const total = domain.Child("memory");
  const XmlElement* const os = domain.Child("os");
  const XmlElement* const type = os == nullptr ? nullptr : os->Child("type");
  if (!domain.Is("domain") || total == nullptr || type == nullptr) {
    return absl::InvalidArgumentError("not the XML of a domain");
  }
  memory::DomainMemory memory;
  memory.machine = type->Get("machine");
  memory.arch = type->Get("arch");
  RETURN_IF_ERROR(ReadCells(domain, memory));
  RETURN_IF_ERROR(ReadDevices(domain, memory));
  ASSIGN_OR_RETURN(memory.boot_bytes, Size(*total, total->Text()));
  for (const memory::DomainMemory::Device& device : memory.devices) {
    if (device.bytes > memory.boot_bytes) {
      return Wrong(*total, "less than its devices have");
    }
    memory.boot_bytes -= device.bytes;
  }
  if (const XmlElement* security = domain.Child("launchSecurity")) {
    memory.launch_security = security->Get("type");
    if (memory.launch_security.empty()) {
      memory.launch_security = "launchSecurity";
    }
  }
  memory.own_arguments = HasOwnArguments(domain);
  return memory;
}

std::string DirectBootKernel(std::string_view live_xml) {
  const absl::StatusOr<XmlElement> domain = ParseXml(live_xml);
  const XmlElement* const os = domain.ok() ? domain->Child("os") : nullptr;
  const XmlElement* const kernel =
      os == nullptr ? nullptr : os->Child("kernel");
  return kernel == nullptr ? std::string() : std::string(kernel->Text());
}

}  // namespace vmattest::measurement
