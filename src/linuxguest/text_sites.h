#ifndef VMATTEST_LINUXGUEST_TEXT_SITES_H_
#define VMATTEST_LINUXGUEST_TEXT_SITES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "linuxguest/kernel_image.h"
#include "linuxguest/symbol_table.h"

namespace vmattest::linuxguest {

// Why a kernel writes to its own text.
enum class SiteKind {
  kJumpLabel,        // static keys: a jump, or none
  kFtrace,           // the call at a function's begin
  kStaticCall,       // a call whose target changes; and its trampoline
  kReturn,           // a return, or a jump to a thunk that does it
  kRetpoline,        // an indirect branch, or a call of its thunk
  kEndbr,            // a landing pad that nothing lands on
  kLock,             // a lock prefix that one processor does not need
  kParavirt,         // a call through pv_ops
  kRuntimeConstant,  // a number that is fixed at boot
  kAlternative,      // instructions by what the processor can do
};
std::string_view SiteKindName(SiteKind kind);

// A place in the text that the image's own tables list.
struct TextSite {
  SiteKind kind = SiteKind::kJumpLabel;
  uint64_t offset = 0;  // in .text
  uint64_t size = 0;
  // kJumpLabel: the jump's target; kAlternative: its replacement; as linked.
  uint64_t other = 0;
  uint64_t other_size = 0;
  std::string variable;  // kRuntimeConstant
};

// From .altinstructions, .parainstructions, .retpoline_sites, .return_sites,
// .ibt_endbr_seal, .smp_locks and runtime constants; and the tables of jump
// labels, ftrace and static calls, which are sections of a module, and which
// `symbols` bound in a kernel, `symbols_offset` above where it was linked.
// Entries that lie outside the text are left out.
std::vector<TextSite> ReadTextSites(const KernelImage& image,
                                    const SymbolTable& symbols,
                                    uint64_t symbols_offset);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_TEXT_SITES_H_
