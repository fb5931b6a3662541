#ifndef VMATTEST_MEMORY_DOMAIN_MEMORY_H_
#define VMATTEST_MEMORY_DOMAIN_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmattest::memory {

// What a running domain's definition says about its memory. Sizes in bytes.
struct DomainMemory {
  std::string machine;      // canonical: "pc-q35-7.2", "pc-i440fx-7.2"
  std::string arch;         // "x86_64"
  uint64_t boot_bytes = 0;  // what it was started with: without devices below
  std::vector<uint64_t> cells;  // of NUMA; they add up to boot_bytes
  // Of <devices>: hot-plugged, or there from the start.
  struct Device {
    std::string alias;
    std::string model;  // "dimm", "nvdimm", "virtio-mem"...
    uint64_t bytes = 0;
    std::optional<uint64_t> address;  // guest-physical
    uint64_t block_bytes = 0;         // virtio-mem: what it gives at a time
  };
  std::vector<Device> devices;
  // <launchSecurity>: what the host sees is cipher text.
  std::string launch_security;
  // <qemu:commandline> may move memory about without a word in the definition.
  bool own_arguments = false;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_DOMAIN_MEMORY_H_
