#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"devices/interface", "type", kText},
    {"devices/interface", "trustGuestRxFilters", kYesNo},
    {"devices/interface/mac", "address", kMac},
    {"devices/interface/source", "network", kText},
    {"devices/interface/source", "portgroup", kText},
    {"devices/interface/source", "bridge", kText},
    {"devices/interface/source", "dev", kText},
    {"devices/interface/source", "mode", kText},
    {"devices/interface/model", "type", kText},
    {"devices/interface/target", "dev", kText},
    {"devices/interface/filterref", "filter", kText},
    {"devices/interface/vlan", "trunk", kYesNo},
    {"devices/interface/vlan/tag", "id", kInteger},
    {"devices/interface/vlan/tag", "nativeMode", kText},
    {"devices/interface/virtualport", "type", kText},
    {"devices/interface/link", "state", kText},
    {"devices/interface/mtu", "size", kInteger},
    {"devices/interface/port", "isolated", kYesNo},
    {"devices/interface/driver", "name", kText},
    {"devices/interface/driver", "queues", kInteger},
    {"devices/interface/boot", "order", kInteger},
    {"devices/interface/rom", "file", kText},
};

}  // namespace

std::span<const TypedRule> NetworkRules() { return kRules; }

}  // namespace vmattest::measurement
