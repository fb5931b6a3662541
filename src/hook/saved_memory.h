#ifndef VMATTEST_HOOK_SAVED_MEMORY_H_
#define VMATTEST_HOOK_SAVED_MEMORY_H_

#include <filesystem>
#include <vector>

#include "gate/protocol/messages.h"

namespace vmattest::hook {

struct SavedMemoryPlaces {
  std::filesystem::path libvirtd;  // /proc/PID of the hook's parent
  std::filesystem::path save = "/var/lib/libvirt/qemu/save";
  std::filesystem::path swtpm = "/var/lib/libvirt/swtpm";
};

// The files of a domain's saved memory, open for reading, for the daemon (rule
// S12). No call of the hook says where they lie, so it looks: at `restore`,
// `prepare` and `started` at what libvirtd has open (it opens the image before
// `restore` and closes it after `started`), at `release` at the managed save
// image. With each goes the state of an emulated TPM, if there is any. Only
// regular files; of images, only those whose XML has the call's UUID. Nothing
// at other operations, and whatever cannot be opened is left out: the daemon
// misses it. Content and number of files are bounded.
std::vector<gate::HandedFile> FindSavedMemory(const gate::GateCall& call,
                                              const SavedMemoryPlaces& places);

}  // namespace vmattest::hook

#endif  // VMATTEST_HOOK_SAVED_MEMORY_H_
