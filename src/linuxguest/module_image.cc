#include "linuxguest/module_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "crypto/digest.h"
#include "linuxguest/physical_reader.h"
#include "linuxguest/site_rules.h"
#include "linuxguest/text_comparer.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {
namespace {

constexpr std::string_view kElf(
    "\x7f"
    "ELF\x02\x01",
    6);
constexpr size_t kHeaderBytes = 64;
constexpr size_t kSymbolBytes = 24;
constexpr size_t kRelaBytes = 24;
constexpr uint64_t kMostSections = 1024;
constexpr uint64_t kMostBytes = 64 << 20;

enum SectionType : uint64_t { kSymtab = 2, kRela = 4, kNoBits = 8 };
enum SectionFlag : uint64_t { kWrite = 1, kAlloc = 2, kExec = 4 };
enum Relocation : uint64_t {
  kNone = 0,
  k64 = 1,
  kPc32 = 2,
  kPlt32 = 4,
  k32 = 10,
  k32S = 11,
  kPc64 = 24,
};

struct ModuleSection {
  std::string name;
  uint64_t type = 0, flags = 0, offset = 0, size = 0, link = 0, info = 0,
           align = 1;
  std::optional<uint64_t> address;  // in the guest
  Bytes bytes;
};

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("module: {}", what));
}

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

class Linker {
 public:
  Linker(Kernel& kernel, const Modules& modules, const Module& module,
         ByteView file)
      : kernel_(kernel), modules_(modules), module_(module), file_(file) {}

  absl::StatusOr<LinkedModule> Link() {
    RETURN_IF_ERROR(ReadSections());
    RETURN_IF_ERROR(Layout());
    const std::vector<ModuleSection> before = sections_;
    for (const ModuleSection& section : before) {
      if (section.type == kRela) {
        RETURN_IF_ERROR(Relocate(section));
      }
    }
    const Part& code = *Code();
    std::vector<KernelImage::Loose> out;
    std::vector<LinkedModule::Constants> constants;
    Bytes text(code.size);
    Bytes file_text(code.size);
    for (size_t i = 0; i < sections_.size(); ++i) {
      const ModuleSection& section = sections_[i];
      if (IsCode(section)) {
        const auto at = static_cast<ptrdiff_t>(*section.address - code.address);
        std::copy(section.bytes.begin(), section.bytes.end(),
                  text.begin() + at);
        std::copy(before[i].bytes.begin(), before[i].bytes.end(),
                  file_text.begin() + at);
      } else if (section.address && !section.bytes.empty()) {
        out.push_back({section.name, *section.address, section.bytes});
      }
      if (IsConstant(section)) {
        constants.push_back({section.name, *section.address, section.bytes,
                             before[i].bytes, unknown_[i]});
      }
    }
    out.push_back({".text", code.address, std::move(text)});
    return LinkedModule{KernelImage::FromLoose(std::move(out)),
                        std::move(file_text), std::move(constants)};
  }

 private:
  [[nodiscard]] static bool IsCode(const ModuleSection& section) {
    return (section.flags & kAlloc) != 0 && (section.flags & kExec) != 0 &&
           !BeginsWith(section.name, ".init") && section.address;
  }
  [[nodiscard]] static bool IsConstant(const ModuleSection& section) {
    // Sorted when the module is loaded.
    static constexpr std::string_view kSorted[] = {
        "__ex_table", "__mcount_loc", ".orc_unwind", ".orc_unwind_ip",
        ".static_call_sites"};
    return PartOf(section) == Content::kReadOnly && section.address &&
           !section.bytes.empty() &&
           std::find(std::begin(kSorted), std::end(kSorted), section.name) ==
               std::end(kSorted);
  }
  [[nodiscard]] const Part* Code() const {
    const auto found =
        std::find_if(module_.parts.begin(), module_.parts.end(),
                     [](const Part& p) { return p.content == Content::kCode; });
    return found == module_.parts.end() ? nullptr : &*found;
  }

  absl::Status ReadSections() {
    if (AsText(file_).substr(0, kElf.size()) != kElf ||
        file_.size() > kMostBytes || LittleEndian(file_, 16, 2) != 1) {
      return Malformed("no relocatable 64-bit ELF file");
    }
    const uint64_t begin = LittleEndian(file_, 0x28, 8);
    const uint64_t count = LittleEndian(file_, 0x3c, 2);
    const uint64_t names = LittleEndian(file_, 0x3e, 2);
    if (begin > file_.size() || count > kMostSections || names >= count ||
        count * kHeaderBytes > file_.size() - begin) {
      return Malformed("sections past the end");
    }
    const auto word = [&](uint64_t section, size_t offset, size_t size) {
      return LittleEndian(file_, begin + section * kHeaderBytes + offset, size);
    };
    const uint64_t text = word(names, 0x18, 8);
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; ++i) {
      ModuleSection section;
      section.type = word(i, 4, 4);
      section.flags = word(i, 8, 8);
      section.offset = word(i, 0x18, 8);
      section.size = word(i, 0x20, 8);
      section.link = word(i, 0x28, 4);
      section.info = word(i, 0x2c, 4);
      section.align = std::max<uint64_t>(word(i, 0x30, 8), 1);
      total += std::min(section.size, kMostBytes);
      if (section.size > kMostBytes || total > kMostBytes ||
          section.align > kMostBytes) {
        return Malformed("sections larger than any module's");
      }
      const uint64_t name = text + word(i, 0, 4);
      if (name < file_.size()) {
        const std::string_view rest = AsText(file_).substr(name, 256);
        section.name = rest.substr(0, rest.find('\0'));
      }
      if (section.type != kNoBits) {
        if (section.offset > file_.size() ||
            section.size > file_.size() - section.offset) {
          return Malformed("a section past the end");
        }
        section.bytes = ToBytes(file_.subspan(section.offset, section.size));
      }
      sections_.push_back(std::move(section));
    }
    return absl::OkStatus();
  }

  // Which of the module's parts a section goes to; absent: none that stays.
  [[nodiscard]] static std::optional<Content> PartOf(
      const ModuleSection& section) {
    if ((section.flags & kAlloc) == 0 || BeginsWith(section.name, ".init") ||
        section.name == ".modinfo" || section.name == "__versions" ||
        section.name == ".data..percpu") {
      return std::nullopt;
    }
    if ((section.flags & kExec) != 0) {
      return Content::kCode;
    }
    if (section.name == ".data..ro_after_init" ||
        section.name == "__jump_table") {
      return Content::kReadOnlyAfterInit;
    }
    return (section.flags & kWrite) != 0 ? Content::kData : Content::kReadOnly;
  }

  absl::Status Layout() {
    for (const Content content :
         {Content::kCode, Content::kReadOnly, Content::kReadOnlyAfterInit,
          Content::kData}) {
      const auto part = std::find_if(
          module_.parts.begin(), module_.parts.end(),
          [content](const Part& p) { return p.content == content; });
      uint64_t used = 0;
      for (ModuleSection& section : sections_) {
        if (PartOf(section) != content) {
          continue;
        }
        used = (used + section.align - 1) / section.align * section.align;
        if (part == module_.parts.end() || section.size > part->size ||
            used > part->size - section.size) {
          return absl::FailedPreconditionError(fmt::format(
              "{} of the file does not fit what is loaded", section.name));
        }
        section.address = part->address + used;
        used += section.size;
      }
    }
    for (ModuleSection& section : sections_) {
      if (section.name == ".data..percpu") {
        ASSIGN_OR_RETURN(section.address,
                         kernel_.Get(module_.address, "module", "percpu"));
      } else if (!section.address && (section.flags & kAlloc) != 0) {
        // Given back after the start; only distances within it matter.
        section.address = away_;
        away_ += (section.size + 0xfff) / 0x1000 * 0x1000;
      }
    }
    if (Code() == nullptr) {
      return absl::FailedPreconditionError("the module has no code");
    }
    return absl::OkStatus();
  }

  [[nodiscard]] absl::StatusOr<uint64_t> Imported(std::string_view name,
                                                  bool weak) const {
    if (const auto address = kernel_.symbols().GlobalAddress(name)) {
      return *address;
    }
    for (const Module& other : modules_.modules) {
      if (&other != &module_) {
        // The kernel keeps no note of which of a module's are global.
        if (const auto address = other.symbols.Address(name)) {
          return *address;
        }
      }
    }
    if (weak) {
      return uint64_t{0};
    }
    return absl::FailedPreconditionError(
        fmt::format("nothing in the guest exports {}", name));
  }

  // Of symbol `index` of the table in section `table`. Absent: of a section
  // that is not loaded.
  absl::StatusOr<std::optional<uint64_t>> SymbolValue(uint64_t table,
                                                      uint64_t index) const {
    if (table >= sections_.size() || sections_[table].type != kSymtab ||
        index >= sections_[table].size / kSymbolBytes ||
        sections_[table].link >= sections_.size()) {
      return Malformed("a relocation of no symbol");
    }
    const Bytes& symbols = sections_[table].bytes;
    const size_t at = index * kSymbolBytes;
    const uint64_t section = LittleEndian(symbols, at + 6, 2);
    const uint64_t value = LittleEndian(symbols, at + 8, 8);
    if (section == 0) {
      const std::string_view text =
          AsText(sections_[sections_[table].link].bytes);
      const uint64_t name = LittleEndian(symbols, at, 4);
      if (name >= text.size()) {
        return Malformed("a symbol without a name");
      }
      const bool weak = symbols[at + 4] >> 4 == 2;
      ASSIGN_OR_RETURN(
          const uint64_t address,
          Imported(text.substr(name, text.find('\0', name) - name), weak));
      return std::optional(address);
    }
    if (section == 0xfff1) {  // SHN_ABS
      return std::optional(value);
    }
    if (section >= sections_.size() || !sections_[section].address) {
      return std::optional<uint64_t>();
    }
    return std::optional(*sections_[section].address + value);
  }

  absl::Status Relocate(const ModuleSection& list) {
    if (list.info >= sections_.size()) {
      return Malformed("relocations of no section");
    }
    ModuleSection& target = sections_[list.info];
    if (!target.address || target.bytes.empty()) {
      return absl::OkStatus();
    }
    for (size_t at = 0; at + kRelaBytes <= list.bytes.size();
         at += kRelaBytes) {
      const uint64_t place = LittleEndian(list.bytes, at, 8);
      const uint64_t type = LittleEndian(list.bytes, at + 8, 4);
      const uint64_t addend = LittleEndian(list.bytes, at + 16, 8);
      const size_t width = type == k64 || type == kPc64 ? 8 : 4;
      if (type == kNone) {
        continue;
      }
      if (place > target.bytes.size() || width > target.bytes.size() - place) {
        return Malformed("a relocation past its section");
      }
      ASSIGN_OR_RETURN(
          const std::optional<uint64_t> symbol,
          SymbolValue(list.link, LittleEndian(list.bytes, at + 12, 4)));
      if (!symbol) {
        continue;
      }
      if (*symbol >= kAway && *symbol < away_) {
        unknown_[list.info].emplace_back(place, width);
      }
      uint64_t value = *symbol + addend;
      if (type == kPc32 || type == kPlt32 || type == kPc64) {
        value -= *target.address + place;
      } else if (type != k64 && type != k32 && type != k32S) {
        return Malformed(fmt::format("relocations of type {}", type));
      }
      for (size_t i = 0; i < width; ++i) {
        target.bytes[place + i] = static_cast<uint8_t>(value >> (8 * i));
      }
    }
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const Modules& modules_;
  const Module& module_;
  const ByteView file_;
  std::vector<ModuleSection> sections_;
  // By section: what it says of sections that are not loaded any more.
  std::map<uint64_t, std::vector<std::pair<uint64_t, uint64_t>>> unknown_;
  static constexpr uint64_t kAway = 0x100000000;  // where no kernel is
  uint64_t away_ = kAway;
};

// Their hash; what is not as it must be is told.
absl::StatusOr<Bytes> CheckConstants(Kernel& kernel, const AddressNames& names,
                                     const LinkedModule& linked,
                                     Findings& out) {
  ByteWriter all;
  for (const LinkedModule::Constants& constants : linked.constants) {
    ASSIGN_OR_RETURN_WITH(
        Bytes found,
        kernel.reader().Read(constants.address, constants.bytes.size()),
        constants.name);
    TextComparer comparer(names, constants.address, constants.bytes,
                          std::move(found));
    for (const auto& [place, width] : constants.unknown) {
      comparer.Excuse(place, width);
    }
    comparer.Report("rodata-modified", out);
    all.Sized(constants.name).Sized(comparer.Hash(constants.file_bytes));
  }
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, all.bytes());
  return Bytes(digest.begin(), digest.end());
}

}  // namespace

absl::StatusOr<LinkedModule> LinkModule(Kernel& kernel, const Modules& modules,
                                        const Module& module, ByteView file) {
  return Linker(kernel, modules, module, file).Link();
}

absl::StatusOr<TextCheck> CheckModuleText(
    Kernel& kernel, const Modules& modules, const Module& module,
    const AddressNames& names, const CodeRanges& ranges, ByteView file) {
  ASSIGN_OR_RETURN_WITH(const LinkedModule linked,
                        LinkModule(kernel, modules, module, file), module.name);
  const KernelImage::Section& text = *linked.image.Find(".text");
  ASSIGN_OR_RETURN_WITH(
      Bytes found, kernel.reader().Read(text.address, text.size), module.name);
  TextCheck out;
  TextComparer comparer(names, text.address,
                        ToBytes(linked.image.At(text.address, text.size)),
                        std::move(found));
  SiteRules rules(kernel, names, ranges, linked.image, 0);
  SymbolTable none;
  none.Sort();
  comparer.Undo(ReadTextSites(linked.image, none, 0), rules, out.rewritten);
  comparer.Report("code-modified", out.findings);
  out.code_hash = comparer.Hash(linked.file_text);
  ASSIGN_OR_RETURN_WITH(out.rodata_hash,
                        CheckConstants(kernel, names, linked, out.findings),
                        module.name);
  return out;
}

Bytes CodeHash(const Bytes& kernel,
               const std::map<std::string, Bytes>& modules) {
  ByteWriter writer;
  writer.Sized(kernel);
  for (const auto& [name, hash] : modules) {
    writer.Sized(name).Sized(hash);
  }
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, writer.bytes());
  return {digest.begin(), digest.end()};
}

}  // namespace vmattest::linuxguest
