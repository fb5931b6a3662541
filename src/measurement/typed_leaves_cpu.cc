#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

using enum ValueKind;

constexpr TypedRule kRules[] = {
    {"vcpu", "", kInteger, "vcpu/max"},
    {"vcpu", "current", kInteger},
    {"vcpu", "placement", kText},
    {"vcpu", "cpuset", kText},
    {"vcpus/vcpu", "enabled", kYesNo},
    {"vcpus/vcpu", "hotpluggable", kYesNo},
    {"vcpus/vcpu", "order", kInteger},
    {"iothreads", "", kInteger},
    {"cputune/vcpupin", "cpuset", kText},
    {"cputune/emulatorpin", "cpuset", kText},
    {"cputune/iothreadpin", "cpuset", kText},
    {"cputune/shares", "", kInteger},
    {"cputune/period", "", kInteger},
    {"cputune/quota", "", kInteger},
    {"cputune/global_period", "", kInteger},
    {"cputune/global_quota", "", kInteger},
    {"cputune/emulator_period", "", kInteger},
    {"cputune/emulator_quota", "", kInteger},
    {"cpu", "mode", kText},
    {"cpu", "match", kText},
    {"cpu", "check", kText},
    {"cpu", "migratable", kOnOff},
    {"cpu/model", "", kText},
    {"cpu/model", "fallback", kText},
    {"cpu/model", "vendor_id", kText},
    {"cpu/vendor", "", kText},
    {"cpu/topology", "sockets", kInteger},
    {"cpu/topology", "dies", kInteger},
    {"cpu/topology", "clusters", kInteger},
    {"cpu/topology", "cores", kInteger},
    {"cpu/topology", "threads", kInteger},
    {"cpu/cache", "mode", kText},
    {"cpu/maxphysaddr", "mode", kText},
    {"cpu/maxphysaddr", "bits", kInteger},
    {"cpu/feature", "policy", kText},
    {"cpu/numa/cell", "cpus", kText},
    {"cpu/numa/cell", "memory", kSize},
    {"cpu/numa/cell", "memAccess", kText},
    {"cpu/numa/cell", "discard", kYesNo},
};

}  // namespace

std::span<const TypedRule> CpuRules() { return kRules; }

}  // namespace vmattest::measurement
