#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"os", "firmware", kText},
    {"os/type", "", kText},
    {"os/type", "arch", kText},
    {"os/type", "machine", kText},
    {"os/loader", "", kText},
    {"os/loader", "readonly", kYesNo},
    {"os/loader", "secure", kYesNo},
    {"os/loader", "type", kText},
    {"os/loader", "stateless", kYesNo},
    {"os/loader", "format", kText},
    {"os/nvram", "", kText},
    {"os/nvram", "template", kText},
    {"os/nvram", "templateFormat", kText},
    {"os/nvram", "format", kText},
    {"os/kernel", "", kText},
    {"os/initrd", "", kText},
    {"os/cmdline", "", kText},
    {"os/dtb", "", kText},
    {"os/shim", "", kText},
    {"os/acpi/table", "", kText},
    {"os/acpi/table", "type", kText},
    {"os/boot", "dev", kText},
    {"os/bootmenu", "enable", kYesNo},
    {"os/bootmenu", "timeout", kInteger},
    {"os/smbios", "mode", kText},
    {"bootloader", "", kText},
    {"bootloader_args", "", kText},
    {"launchSecurity", "type", kText},
    {"launchSecurity", "kernelHashes", kYesNo},
    {"launchSecurity/policy", "", kText},
    {"launchSecurity/cbitpos", "", kInteger},
    {"launchSecurity/reducedPhysBits", "", kInteger},
    {"launchSecurity/dhCert", "", kText},
    {"launchSecurity/session", "", kText},
};

}  // namespace

std::span<const TypedRule> BootRules() { return kRules; }

}  // namespace vmattest::measurement
