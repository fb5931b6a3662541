#ifndef VMATTEST_LINUXGUEST_SITE_RULES_H_
#define VMATTEST_LINUXGUEST_SITE_RULES_H_

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "linuxguest/address_names.h"
#include "linuxguest/code_ranges.h"
#include "linuxguest/kernel_image.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {

// Decides whether what a site holds is something that the kernel itself writes
// there. Exact where the image says what it would be (jump labels, locks,
// alternatives); where it is another branch, its target must begin a function
// of the kernel or of a module, be a thunk, or a trampoline of ftrace.
class SiteRules {
 public:
  // `moved`: how far the guest's code is from where the image has it.
  SiteRules(Kernel& kernel, const AddressNames& names, const CodeRanges& ranges,
            const KernelImage& image, uint64_t moved);

  // `expected`: the image's bytes of the site, relocated; `found`: the guest's,
  // of the same size; `at`: where they are in the guest.
  [[nodiscard]] bool Explains(const TextSite& site, ByteView expected,
                              ByteView found, uint64_t at);

 private:
  [[nodiscard]] bool BeginsFunction(uint64_t address) const;
  [[nodiscard]] std::string SymbolAt(uint64_t address) const;
  [[nodiscard]] bool Return(ByteView found, uint64_t at) const;
  [[nodiscard]] bool Retpoline(ByteView expected, ByteView found,
                               uint64_t at) const;
  [[nodiscard]] bool StaticCall(ByteView expected, ByteView found,
                                uint64_t at) const;
  [[nodiscard]] bool Ftrace(ByteView found, uint64_t at) const;
  void TakeReturns(ByteView found, uint64_t at, uint64_t replacement,
                   Bytes& wanted) const;
  [[nodiscard]] bool Alternative(const TextSite& site, ByteView expected,
                                 ByteView found, uint64_t at) const;
  [[nodiscard]] bool RuntimeConstant(const TextSite& site, ByteView found);

  Kernel& kernel_;
  const AddressNames& names_;
  const CodeRanges& ranges_;
  const KernelImage& image_;
  const uint64_t moved_;
};

// True if all of it does nothing: the usual long nops, or a jump to its end.
bool IsNops(ByteView code);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_SITE_RULES_H_
