#ifndef VMATTEST_MEMORY_GUEST_MEANING_H_
#define VMATTEST_MEMORY_GUEST_MEANING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "memory/guest_memory.h"

// What a guest's bytes mean, as far as its kernel is understood. It is said by
// a confined worker (rule S25) about a guest that may lie: checked for form and
// bounds, and not believed beyond them. Values; docs/linux-guests.md.

namespace vmattest::memory {

// One thing to be found in a guest.
struct MeaningQuery {
  enum class What : uint8_t {
    kKernelText,
    kKernelRodata,
    kIdt,
    kGdt,
    kSyscallTable,
    kModuleText,
    kModuleRodata,
    kSymbols,
    kProcessExecutable,
    kProcessAnonymous,
  };
  What what = What::kKernelText;
  std::string pattern;  // glob: modules, symbols, the process's program
};

struct MeaningRequest {
  // One entry for each region that is asked for; a region of nothing but
  // records has no queries.
  std::vector<std::vector<MeaningQuery>> regions;
  // Fields of records about processes: "pid", "comm", "uid", "gid", "caps",
  // "parent". None: no such records.
  std::vector<std::string> task_fields;
  // The file that the guest's kernel was started from, with which its text is
  // compared; empty: not known. Opened by whoever asks the worker.
  std::string kernel_file;
};

// Bytes with a name that a reboot does not change: "module/virtio/text".
struct NamedPart {
  std::string name;
  std::string content;   // "text", "rodata", "ro_after_init", "data"
  uint64_t address = 0;  // virtual
  uint64_t size = 0;
  uint64_t absent = 0;  // bytes that are not in memory
  // Where the others are in RAM, in the order of their addresses; any bytes.
  std::vector<AddressRange> runs;
  // What begins where in it, for people; rising, not all. None if bytes are
  // absent.
  struct Symbol {
    uint64_t offset = 0;
    std::string name;
    friend bool operator==(const Symbol&, const Symbol&) = default;
  };
  std::vector<Symbol> symbols = {};
  friend bool operator==(const NamedPart&, const NamedPart&) = default;
};

struct MeantRegion {
  std::vector<NamedPart> parts;  // by name, then address
  std::string unavailable;       // why there is none at all
};

struct GuestFinding {
  std::string code;
  std::string severity;
  std::string element;
  std::string expected;
  std::string found;
};

struct GuestRecord {
  std::string name;
  std::string text;
};

// All texts are printable ASCII.
struct GuestMeaning {
  // "linux", or why nobody knows what the bytes mean; regions say the same.
  std::string semantics;
  std::string kernel_release;
  std::vector<uint8_t> kernel_build_id;
  std::vector<MeantRegion> regions;  // as many as were asked for
  // Of two looks a second apart, what both saw; critical ones first.
  std::vector<GuestFinding> findings;
  std::vector<GuestRecord> records;  // by name
  std::vector<uint8_t> code_hash;    // SHA-256, or empty
  std::string code_hash_state;
  std::string cpu_state;
  std::vector<std::string> notes;

  [[nodiscard]] bool understood() const { return semantics == "linux"; }
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_GUEST_MEANING_H_
