#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"devices/emulator", "", kText},
    {"devices/controller", "model", kText},
    {"devices/hostdev", "mode", kText},
    {"devices/hostdev", "type", kText},
    {"devices/hostdev", "managed", kYesNo},
    {"devices/hostdev", "model", kText},
    {"devices/hostdev/driver", "name", kText},
    {"devices/hostdev/source/vendor", "id", kText},
    {"devices/hostdev/source/product", "id", kText},
    {"devices/hostdev/rom", "file", kText},
    {"devices/hostdev/boot", "order", kInteger},
    {"devices/tpm", "model", kText},
    {"devices/tpm/backend", "type", kText},
    {"devices/tpm/backend", "version", kText},
    {"devices/tpm/backend", "persistent_state", kYesNo},
    {"devices/tpm/backend/device", "path", kText},
    {"devices/tpm/backend/encryption", "secret", kUuid},
    {"devices/graphics", "type", kText},
    {"devices/graphics", "port", kInteger},
    {"devices/graphics", "tlsPort", kInteger},
    {"devices/graphics", "autoport", kYesNo},
    {"devices/graphics", "listen", kText},
    {"devices/filesystem", "type", kText},
    {"devices/filesystem", "accessmode", kText},
    {"devices/filesystem/driver", "type", kText},
    {"devices/filesystem/binary", "path", kText},
    {"devices/filesystem/source", "dir", kText},
    {"devices/filesystem/target", "dir", kText},
    {"devices/channel", "type", kText},
    {"devices/channel/source", "mode", kText},
    {"devices/channel/source", "path", kText},
    {"devices/channel/target", "type", kText},
    {"devices/channel/target", "name", kText},
    {"devices/serial", "type", kText},
    {"devices/console", "type", kText},
    {"devices/rng", "model", kText},
    {"devices/rng/backend", "model", kText},
    {"devices/rng/backend", "", kText},
    {"devices/watchdog", "model", kText},
    {"devices/watchdog", "action", kText},
    {"devices/video/model", "type", kText},
    {"devices/vsock/cid", "auto", kYesNo},
    {"devices/vsock/cid", "address", kInteger},
};

}  // namespace

std::span<const TypedRule> DeviceRules() { return kRules; }

}  // namespace vmattest::measurement
