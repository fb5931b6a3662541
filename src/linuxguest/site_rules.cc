#include "linuxguest/site_rules.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint8_t kCall = 0xe8;
constexpr uint8_t kJump = 0xe9;
constexpr uint8_t kRet = 0xc3;
constexpr uint8_t kInt3 = 0xcc;
constexpr size_t kBranchBytes = 5;

bool Is(ByteView code, std::initializer_list<uint8_t> bytes) {
  return std::equal(code.begin(), code.end(), bytes.begin(), bytes.end());
}

bool AllAre(ByteView code, uint8_t byte) {
  return std::all_of(code.begin(), code.end(),
                     [byte](uint8_t b) { return b == byte; });
}

uint64_t Signed32(ByteView code, size_t at) {
  return static_cast<uint64_t>(
      int64_t{static_cast<int32_t>(LittleEndian(code, at, 4))});
}

uint64_t Signed8(uint8_t byte) {
  return static_cast<uint64_t>(int64_t{static_cast<int8_t>(byte)});
}

// Of a five-byte branch at `at`.
uint64_t Target(ByteView code, uint64_t at) {
  return at + kBranchBytes + Signed32(code, 1);
}

bool IsBranch(ByteView code) {
  return code.size() >= kBranchBytes && (code[0] == kCall || code[0] == kJump);
}

// Bytes of the nop that `code` begins with; 0: none. "66 ... nopw/nopl".
size_t NopSize(ByteView code) {
  size_t prefixes = 0;
  while (prefixes < code.size() && prefixes < 10 &&
         (code[prefixes] == 0x66 || code[prefixes] == 0x2e)) {
    ++prefixes;
  }
  const ByteView rest = code.subspan(prefixes);
  if (!rest.empty() && rest[0] == 0x90) {
    return prefixes + 1;
  }
  if (rest.size() < 3 || rest[0] != 0x0f || rest[1] != 0x1f) {
    return 0;
  }
  size_t size = 0;
  switch (rest[2]) {
    case 0x00:
      size = 3;
      break;
    case 0x40:
      size = 4;
      break;
    case 0x44:
      size = 5;
      break;
    case 0x80:
      size = 7;
      break;
    case 0x84:
      size = 8;
      break;
    default:
      return 0;
  }
  const bool zeros =
      size <= rest.size() && AllAre(rest.subspan(3, size - 3), 0);
  return zeros ? prefixes + size : 0;
}

// A short or long jump at the begin; behind a short one nops or traps.
bool IsJumpTo(ByteView code, uint64_t at, uint64_t target) {
  if (code.size() >= kBranchBytes && code[0] == kJump) {
    return Target(code, at) == target && IsNops(code.subspan(kBranchBytes));
  }
  const ByteView rest = code.size() < 2 ? ByteView() : code.subspan(2);
  return code.size() >= 2 && code[0] == 0xeb &&
         at + 2 + Signed8(code[1]) == target &&
         (IsNops(rest) || AllAre(rest, kInt3));
}

constexpr std::string_view kRegisters[] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Where `found` differs from `wanted` it is by a distance that is the same
// place seen from elsewhere: `moved` further.
bool EqualButMoved(ByteView wanted, ByteView found, uint64_t moved) {
  for (size_t i = 0; i < wanted.size();) {
    if (wanted[i] == found[i]) {
      ++i;
      continue;
    }
    // The lowest bytes of the distance may be equal by chance.
    bool is_distance = false;
    for (size_t back = 0; back < 4 && back <= i && !is_distance; ++back) {
      const size_t at = i - back;
      is_distance =
          at + 4 <= wanted.size() &&
          static_cast<uint32_t>(LittleEndian(found, at, 4)) ==
              static_cast<uint32_t>(LittleEndian(wanted, at, 4) + moved);
      if (is_distance) {
        i = at + 4;
      }
    }
    if (!is_distance) {
      return false;
    }
  }
  return true;
}

// The same code, with other nops where there are nops.
bool EqualButNops(ByteView wanted, ByteView found) {
  size_t i = 0;
  while (i < wanted.size()) {
    if (NopSize(wanted.subspan(i)) == 0) {
      if (wanted[i] != found[i]) {
        return false;
      }
      ++i;
      continue;
    }
    size_t end = i;
    while (end < wanted.size() && NopSize(wanted.subspan(end)) != 0) {
      end += NopSize(wanted.subspan(end));
    }
    if (!IsNops(found.subspan(i, end - i))) {
      return false;
    }
    i = end;
  }
  return true;
}

}  // namespace

bool IsNops(ByteView code) {
  while (!code.empty()) {
    if (code[0] == 0xeb && code.size() >= 2 && code[1] == code.size() - 2) {
      return true;  // and what is jumped over does not run
    }
    const size_t size = NopSize(code);
    if (size == 0) {
      return false;
    }
    code = code.subspan(size);
  }
  return true;
}

SiteRules::SiteRules(Kernel& kernel, const AddressNames& names,
                     const CodeRanges& ranges, const KernelImage& image,
                     uint64_t moved)
    : kernel_(kernel),
      names_(names),
      ranges_(ranges),
      image_(image),
      moved_(moved) {}

bool SiteRules::BeginsFunction(uint64_t address) const {
  if (names_.InKernelText(address)) {
    const std::optional<Symbol> symbol = kernel_.symbols().Covering(address);
    return symbol && symbol->address == address;
  }
  const Module* module = names_.ModuleAt(address);
  if (module == nullptr ||
      module->Holding(address)->content != Content::kCode) {
    return false;
  }
  const std::optional<Symbol> symbol = module->symbols.Covering(address);
  return symbol && symbol->address == address;
}

std::string SiteRules::SymbolAt(uint64_t address) const {
  const std::optional<Symbol> symbol = kernel_.symbols().Covering(address);
  return symbol && symbol->address == address ? std::string(symbol->name) : "";
}

bool SiteRules::Return(ByteView found, uint64_t at) const {
  if (found[0] == kRet) {
    return AllAre(found.subspan(1), kInt3);
  }
  const std::string target = IsBranch(found) ? SymbolAt(Target(found, at)) : "";
  return found[0] == kJump && target.size() > 12 &&
         target.substr(target.size() - 12) == "return_thunk";
}

bool SiteRules::Retpoline(ByteView expected, ByteView found,
                          uint64_t at) const {
  const size_t prefix = expected[0] == 0x2e ? 1 : 0;
  const ByteView branch = expected.subspan(prefix);
  if (!IsBranch(branch)) {
    return false;
  }
  const size_t size = prefix + kBranchBytes;
  // What follows a site without prefix is not the site's.
  if (ByteView(found).subspan(size).size() != expected.size() - size ||
      !std::equal(found.begin() + static_cast<ptrdiff_t>(size), found.end(),
                  expected.begin() + static_cast<ptrdiff_t>(size))) {
    return false;
  }
  const std::string thunk = SymbolAt(Target(branch, at + prefix));
  constexpr std::string_view kThunk = "__x86_indirect_thunk_";
  const auto wanted = std::find(
      std::begin(kRegisters), std::end(kRegisters),
      BeginsWith(thunk, kThunk) ? std::string_view(thunk).substr(kThunk.size())
                                : std::string_view());
  if (wanted == std::end(kRegisters)) {
    return false;
  }
  const auto number = static_cast<size_t>(wanted - std::begin(kRegisters));
  ByteView rest = found.first(size);
  while (!rest.empty() && (rest[0] == 0x2e || rest[0] == 0x3e)) {
    rest = rest.subspan(1);
  }
  if (IsBranch(rest) && rest[0] == branch[0]) {
    const uint64_t target =
        Target(rest, at + static_cast<uint64_t>(size - rest.size()));
    return BeginsWith(SymbolAt(target), "__x86_indirect_");
  }
  if (rest.size() >= 3 && Is(rest.first(3), {0x0f, 0xae, 0xe8})) {  // lfence
    rest = rest.subspan(3);
  }
  if (number >= 8) {
    if (rest.empty() || rest[0] != 0x41) {
      return false;
    }
    rest = rest.subspan(1);
  }
  const uint8_t how = branch[0] == kCall ? 0xd0 : 0xe0;
  if (rest.size() < 2 || rest[0] != 0xff || rest[1] != (how | (number & 7))) {
    return false;
  }
  rest = rest.subspan(2);
  while (branch[0] == kJump && !rest.empty() && rest[0] == kInt3) {
    rest = rest.subspan(1);
  }
  return IsNops(rest);
}

bool SiteRules::StaticCall(ByteView expected, ByteView found,
                           uint64_t at) const {
  // nop; return, of zero too ("cs cs cs xor %eax,%eax")
  if (IsNops(found) || Return(found, at) ||
      Is(found, {0x2e, 0x2e, 0x2e, 0x31, 0xc0}) ||
      Is(found, {0x66, 0x66, 0x48, 0x31, 0xc0})) {
    return true;
  }
  const bool same_way =
      IsBranch(found) &&
      (found[0] == expected[0] || expected[0] == kRet || IsNops(expected));
  return same_way && BeginsFunction(Target(found, at));
}

bool SiteRules::Ftrace(ByteView found, uint64_t at) const {
  if (IsNops(found)) {
    return true;
  }
  if (found[0] != kCall) {
    return false;
  }
  const uint64_t target = Target(found, at);
  const std::string symbol = SymbolAt(target);
  const CodeRange* range = ranges_.Holding(target);
  return symbol == "ftrace_caller" || symbol == "ftrace_regs_caller" ||
         symbol == "__fentry__" ||
         (range != nullptr && range->owner == "ftrace trampoline");
}

// A replacement was rewritten itself before it was copied: its returns, where
// the guest has one of the kernel's kinds, become what the guest has.
void SiteRules::TakeReturns(ByteView found, uint64_t at, uint64_t replacement,
                            Bytes& wanted) const {
  for (size_t i = 0; i + kBranchBytes <= wanted.size(); ++i) {
    const ByteView branch = ByteView(wanted).subspan(i, kBranchBytes);
    const ByteView now = found.subspan(i, kBranchBytes);
    if (branch[0] == kJump && Return(branch, replacement + i) &&
        Return(now, at + i)) {
      std::copy(now.begin(), now.end(),
                wanted.begin() + static_cast<ptrdiff_t>(i));
    }
  }
}

bool SiteRules::Alternative(const TextSite& site, ByteView expected,
                            ByteView found, uint64_t at) const {
  if (EqualButNops(expected, found)) {
    return true;
  }
  // An indirect call made direct (ALT_CALL, since Linux 6.8), or none.
  if (expected.size() >= 2 && Is(expected.first(2), {0xff, 0x15}) &&
      (IsNops(found) || (IsBranch(found) && found[0] == kCall &&
                         IsNops(found.subspan(kBranchBytes)) &&
                         BeginsFunction(Target(found, at))))) {
    return true;
  }
  const uint64_t replacement = site.other + moved_;
  Bytes wanted = image_.Loaded(site.other, site.other_size, moved_);
  if (wanted.size() == kBranchBytes && wanted[0] == kJump &&
      IsJumpTo(found, at, Target(wanted, replacement))) {
    return true;
  }
  if (wanted.size() != site.other_size || wanted.size() > found.size() ||
      !IsNops(found.subspan(wanted.size()))) {
    return false;
  }
  const ByteView body = found.first(wanted.size());
  TakeReturns(body, at, replacement, wanted);
  return EqualButNops(wanted, body) ||
         EqualButMoved(wanted, body, replacement - at);
}

bool SiteRules::RuntimeConstant(const TextSite& site, ByteView found) {
  const absl::StatusOr<uint64_t> value =
      kernel_.Variable(site.variable, found.size());
  return value.ok() && *value == LittleEndian(found, 0, found.size());
}

bool SiteRules::Explains(const TextSite& site, ByteView expected,
                         ByteView found, uint64_t at) {
  const uint64_t target = site.other + moved_;
  switch (site.kind) {
    case SiteKind::kJumpLabel:
      return IsNops(found) || IsJumpTo(found, at, target);
    case SiteKind::kFtrace:
      return Ftrace(found, at);
    case SiteKind::kStaticCall:
      return StaticCall(expected, found, at);
    case SiteKind::kReturn:
      return Return(found, at);
    case SiteKind::kRetpoline:
      return Retpoline(expected, found, at);
    case SiteKind::kEndbr:
      return Is(found, {0x66, 0x0f, 0x1f, 0x00}) ||
             Is(found, {0x0f, 0x1f, 0x40, 0xd6});
    case SiteKind::kLock:
      return found[0] == 0xf0 || found[0] == 0x3e;
    case SiteKind::kParavirt:
      return IsNops(found) ||
             Is(found.first(std::min<size_t>(found.size(), 2)), {0x0f, 0x0b}) ||
             (IsBranch(found) && BeginsFunction(Target(found, at)) &&
              IsNops(found.subspan(kBranchBytes)));
    case SiteKind::kRuntimeConstant:
      return RuntimeConstant(site, found);
    case SiteKind::kAlternative:
      return Alternative(site, expected, found, at);
  }
  return false;
}

}  // namespace vmattest::linuxguest
