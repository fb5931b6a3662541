#include "linuxguest/text_sites.h"

#include <optional>

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostTable = 16 << 20;

class Collector {
 public:
  Collector(const KernelImage& image, const SymbolTable& symbols,
            uint64_t offset)
      : image_(image),
        symbols_(symbols),
        offset_(offset),
        text_(*image.Find(".text")) {}

  std::vector<TextSite> Collect() {
    JumpLabels();
    Ftrace();
    StaticCalls();
    Relative(".return_sites", SiteKind::kReturn, 5);
    Relative(".retpoline_sites", SiteKind::kRetpoline, 6);
    Relative(".ibt_endbr_seal", SiteKind::kEndbr, 4);
    Relative(".smp_locks", SiteKind::kLock, 1);
    Paravirt();
    RuntimeConstants();
    Alternatives();
    return std::move(sites_);
  }

 private:
  void Add(SiteKind kind, uint64_t address, uint64_t size, uint64_t other = 0,
           uint64_t other_size = 0, std::string variable = "") {
    const uint64_t offset = address - text_.address;
    if (address >= text_.address && offset < text_.size &&
        size <= text_.size - offset) {
      sites_.push_back(
          {kind, offset, size, other, other_size, std::move(variable)});
    }
  }

  // A signed 32-bit distance from where it is stored.
  [[nodiscard]] static uint64_t Relative32(ByteView table, size_t at,
                                           uint64_t base) {
    return base + at +
           static_cast<uint64_t>(
               int64_t{static_cast<int32_t>(LittleEndian(table, at, 4))});
  }

  struct Table {
    uint64_t address = 0;
    ByteView bytes;
  };
  // A table of a module is a section of its own, of the kernel it has bounds.
  [[nodiscard]] Table Bounded(std::string_view section, const char* begin,
                              const char* end) const {
    if (const Table own = OfSection(section); !own.bytes.empty()) {
      return own;
    }
    const std::optional<uint64_t> from = symbols_.Address(begin);
    const std::optional<uint64_t> to = symbols_.Address(end);
    if (!from || !to || *to < *from || *to - *from > kMostTable) {
      return {};
    }
    return {*from - offset_, image_.At(*from - offset_, *to - *from)};
  }
  [[nodiscard]] Table OfSection(std::string_view name) const {
    const KernelImage::Section* section = image_.Find(name);
    return section == nullptr
               ? Table{}
               : Table{section->address,
                       image_.At(section->address, section->size)};
  }

  void Relative(std::string_view section, SiteKind kind, uint64_t size,
                std::string variable = "") {
    const Table table = OfSection(section);
    for (size_t at = 0; at + 4 <= table.bytes.size(); at += 4) {
      Add(kind, Relative32(table.bytes, at, table.address), size, 0, 0,
          variable);
    }
  }

  // struct jump_entry {s32 code; s32 target; long key}
  void JumpLabels() {
    const Table table =
        Bounded("__jump_table", "__start___jump_table", "__stop___jump_table");
    for (size_t at = 0; at + 16 <= table.bytes.size(); at += 16) {
      const uint64_t code = Relative32(table.bytes, at, table.address);
      const ByteView now = image_.At(code, 1);
      // jmp rel8 or the two-byte nop; else five bytes.
      const bool is_short = !now.empty() && (now[0] == 0xeb || now[0] == 0x66);
      Add(SiteKind::kJumpLabel, code, is_short ? 2 : 5,
          Relative32(table.bytes, at + 4, table.address));
    }
  }

  void Ftrace() {
    const Table table =
        Bounded("__mcount_loc", "__start_mcount_loc", "__stop_mcount_loc");
    for (size_t at = 0; at + 8 <= table.bytes.size(); at += 8) {
      Add(SiteKind::kFtrace, LittleEndian(table.bytes, at, 8), 5);
    }
  }

  // struct static_call_site {s32 addr; s32 key}; trampolines by their names.
  void StaticCalls() {
    const Table table =
        Bounded(".static_call_sites", "__start_static_call_sites",
                "__stop_static_call_sites");
    for (size_t at = 0; at + 8 <= table.bytes.size(); at += 8) {
      Add(SiteKind::kStaticCall, Relative32(table.bytes, at, table.address), 5);
    }
    // In ftrace's own trampolines: the call of the tracer.
    for (const char* name : {"ftrace_call", "ftrace_regs_call"}) {
      if (const std::optional<uint64_t> address = symbols_.Address(name)) {
        Add(SiteKind::kStaticCall, *address - offset_, 5);
      }
    }
    for (const Symbol& symbol : symbols_.Matching("__SCT__*")) {
      Add(SiteKind::kStaticCall, symbol.address - offset_, 5);
    }
  }

  // struct paravirt_patch_site {u8 *instr; u8 type; u8 len}, until Linux 6.7
  void Paravirt() {
    const Table table = OfSection(".parainstructions");
    for (size_t at = 0; at + 10 <= table.bytes.size(); at += 16) {
      Add(SiteKind::kParavirt, LittleEndian(table.bytes, at, 8),
          table.bytes[at + 9]);
    }
  }

  void RuntimeConstants() {
    for (const KernelImage::Section& section : image_.sections()) {
      for (const auto& [prefix, size] :
           {std::pair<std::string_view, uint64_t>{"runtime_ptr_", 8},
            {"runtime_shift_", 1}}) {
        if (section.name.compare(0, prefix.size(), prefix) == 0) {
          Relative(section.name, SiteKind::kRuntimeConstant, size,
                   section.name.substr(prefix.size()));
        }
      }
    }
  }

  // struct alt_instr {s32 instr; s32 replacement; u16 or u32 what for; u8 size;
  // u8 size of the replacement}: 12 bytes until Linux 6.2, then 14. The sizes
  // tell: of the wrong layout they make no sense.
  void Alternatives() {
    const Table table = OfSection(".altinstructions");
    for (const size_t stride : {size_t{14}, size_t{12}}) {
      if (!IsLayout(table, stride)) {
        continue;
      }
      for (size_t at = 0; at + stride <= table.bytes.size(); at += stride) {
        Add(SiteKind::kAlternative, Relative32(table.bytes, at, table.address),
            table.bytes[at + stride - 2],
            Relative32(table.bytes, at + 4, table.address),
            table.bytes[at + stride - 1]);
      }
      return;
    }
  }

  [[nodiscard]] bool IsLayout(const Table& table, size_t stride) const {
    if (table.bytes.empty() || table.bytes.size() % stride != 0) {
      return false;
    }
    for (size_t at = 0; at + stride <= table.bytes.size(); at += stride) {
      const uint8_t size = table.bytes[at + stride - 2];
      if (size == 0 || table.bytes[at + stride - 1] > size ||
          image_.At(Relative32(table.bytes, at, table.address), size).empty()) {
        return false;
      }
    }
    return true;
  }

  const KernelImage& image_;
  const SymbolTable& symbols_;
  const uint64_t offset_;
  const KernelImage::Section& text_;
  std::vector<TextSite> sites_;
};

}  // namespace

std::string_view SiteKindName(SiteKind kind) {
  switch (kind) {
    case SiteKind::kJumpLabel:
      return "static-key";
    case SiteKind::kFtrace:
      return "ftrace";
    case SiteKind::kStaticCall:
      return "static-call";
    case SiteKind::kReturn:
      return "return-thunk";
    case SiteKind::kRetpoline:
      return "retpoline";
    case SiteKind::kEndbr:
      return "endbr-seal";
    case SiteKind::kLock:
      return "smp-lock";
    case SiteKind::kParavirt:
      return "paravirt";
    case SiteKind::kRuntimeConstant:
      return "runtime-constant";
    case SiteKind::kAlternative:
      break;
  }
  return "alternative";
}

std::vector<TextSite> ReadTextSites(const KernelImage& image,
                                    const SymbolTable& symbols,
                                    uint64_t symbols_offset) {
  return Collector(image, symbols, symbols_offset).Collect();
}

}  // namespace vmattest::linuxguest
