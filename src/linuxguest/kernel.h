#ifndef VMATTEST_LINUXGUEST_KERNEL_H_
#define VMATTEST_LINUXGUEST_KERNEL_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "linuxguest/btf.h"
#include "linuxguest/symbol_table.h"
#include "linuxguest/virtual_reader.h"
#include "linuxguest/vmcoreinfo.h"

namespace vmattest::linuxguest {

// A Linux kernel found in a guest's memory, by what it says about itself. It
// may lie: its build id, symbols and text mean something when they are what a
// reference says (Reference below; kernel_image.h).
class Kernel {
 public:
  Kernel(VirtualReader reader, VmcoreInfo info, SymbolTable symbols, Btf btf)
      : reader_(std::move(reader)),
        info_(std::move(info)),
        symbols_(std::move(symbols)),
        btf_(std::move(btf)) {}

  [[nodiscard]] VirtualReader& reader() { return reader_; }
  [[nodiscard]] const VmcoreInfo& info() const { return info_; }
  [[nodiscard]] const SymbolTable& symbols() const { return symbols_; }
  [[nodiscard]] const Btf& btf() const { return btf_; }

  // A member of the structure at `address`, of 1 to 8 bytes; a longer one's
  // first 8.
  absl::StatusOr<uint64_t> Get(uint64_t address, std::string_view structure,
                               std::string_view path);
  // The number that a symbol names; `size` is 1 to 8.
  absl::StatusOr<uint64_t> Variable(std::string_view symbol, size_t size);

 private:
  VirtualReader reader_;
  VmcoreInfo info_;
  SymbolTable symbols_;
  Btf btf_;
};

// What a search for a kernel came to: a value, whatever the guest did.
struct Discovery {
  enum class Outcome {
    kFound,
    kNoLinux,       // no VMCOREINFO: firmware, another system, Linux < 6.0
    kInconsistent,  // verdict guest-structures-inconsistent
  };
  Outcome outcome = Outcome::kNoLinux;
  std::string reason;                 // of the other two
  std::vector<std::string> problems;  // other notes, each with what is wrong
  std::unique_ptr<Kernel> kernel;     // kFound
};

// Finds the kernel that runs. A note is believed if the page tables it names
// map themselves and the symbols where it says, if they decode, agree about
// _stext and lead back to this very note, and if the kernel's build id note is
// the same; if exactly one is. Needs the BTF of the kernel.
//   An error: the guest is gone, or limits were reached before any answer.
absl::StatusOr<Discovery> DiscoverKernel(PhysicalReader& reader);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_KERNEL_H_
