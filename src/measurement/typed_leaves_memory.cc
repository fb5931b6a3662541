#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"memory", "", kSize, "memory/max"},
    {"memory", "dumpCore", kOnOff},
    {"currentMemory", "", kSize, "memory/current"},
    {"maxMemory", "", kSize, "memory/hotplug/max"},
    {"maxMemory", "slots", kInteger, "memory/hotplug/slots"},
    {"memoryBacking/hugepages/page", "size", kSize},
    {"memoryBacking/hugepages/page", "nodeset", kText},
    {"memoryBacking/source", "type", kText},
    {"memoryBacking/access", "mode", kText},
    {"memoryBacking/allocation", "mode", kText},
    {"memoryBacking/allocation", "threads", kInteger},
    {"memtune/hard_limit", "", kSize},
    {"memtune/soft_limit", "", kSize},
    {"memtune/swap_hard_limit", "", kSize},
    {"memtune/min_guarantee", "", kSize},
    {"numatune/memory", "mode", kText},
    {"numatune/memory", "nodeset", kText},
    {"numatune/memory", "placement", kText},
    {"numatune/memnode", "mode", kText},
    {"numatune/memnode", "nodeset", kText},
    {"devices/memory", "model", kText},
    {"devices/memory", "access", kText},
    {"devices/memory/source/path", "", kText},
    {"devices/memory/source/pagesize", "", kSize},
    {"devices/memory/source/nodemask", "", kText},
    {"devices/memory/target/size", "", kSize},
    {"devices/memory/target/node", "", kInteger},
    {"devices/memory/target/block", "", kSize},
    {"devices/memory/target/requested", "", kSize},
    {"devices/memory/target/label/size", "", kSize},
    {"devices/memballoon", "model", kText},
};

}  // namespace

std::span<const TypedRule> MemoryRules() { return kRules; }

}  // namespace vmattest::measurement
