#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"devices/disk", "type", kText},
    {"devices/disk", "device", kText},
    {"devices/disk/driver", "name", kText},
    {"devices/disk/driver", "type", kText},
    {"devices/disk/driver", "cache", kText},
    {"devices/disk/driver", "io", kText},
    {"devices/disk/driver", "discard", kText},
    {"devices/disk/driver", "iothread", kInteger},
    {"devices/disk/driver", "queues", kInteger},
    {"devices/disk/source", "file", kText},
    {"devices/disk/source", "dev", kText},
    {"devices/disk/source", "dir", kText},
    {"devices/disk/source", "pool", kText},
    {"devices/disk/source", "volume", kText},
    {"devices/disk/source", "protocol", kText},
    {"devices/disk/source", "name", kText},
    {"devices/disk/source", "startupPolicy", kText},
    {"devices/disk/source/host", "name", kText},
    {"devices/disk/source/host", "port", kText},
    {"devices/disk/source/host", "transport", kText},
    {"devices/disk/source/host", "socket", kText},
    {"devices/disk/backingStore", "type", kText},
    {"devices/disk/backingStore/format", "type", kText},
    {"devices/disk/backingStore/source", "file", kText},
    {"devices/disk/backingStore/source", "dev", kText},
    {"devices/disk/backingStore/source", "protocol", kText},
    {"devices/disk/backingStore/source", "name", kText},
    {"devices/disk/target", "dev", kText},
    {"devices/disk/target", "bus", kText},
    {"devices/disk/serial", "", kText},
    {"devices/disk/wwn", "", kText},
    {"devices/disk/boot", "order", kInteger},
};

}  // namespace

std::span<const TypedRule> DiskRules() { return kRules; }

}  // namespace vmattest::measurement
