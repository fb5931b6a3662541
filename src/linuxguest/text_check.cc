#include "linuxguest/text_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "crypto/digest.h"
#include "linuxguest/site_rules.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostFindings = 256;
constexpr size_t kShownBytes = 16;
// Changes closer than this are one.
constexpr size_t kGap = 16;
constexpr uint64_t kMostTables = 64 << 20;

// All of the kernel's symbol tables lie together, whatever their order.
absl::StatusOr<bool> HasSymbolTablesOf(Kernel& kernel, const KernelImage& image,
                                       uint64_t moved) {
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  for (const char* name :
       {"kallsyms_names", "kallsyms_num_syms", "kallsyms_token_table",
        "kallsyms_token_index", "kallsyms_offsets", "kallsyms_relative_base"}) {
    const uint64_t at = kernel.info().Symbol(name).value_or(0);
    begin = std::min(begin, at);
    end = std::max(end, at + 8);
  }
  // The last may be the index of tokens.
  end += 512 - 8;
  if (end < begin || end - begin > kMostTables) {
    return false;
  }
  const Bytes expected = image.Loaded(begin - moved, end - begin, moved);
  ASSIGN_OR_RETURN(const Bytes found, kernel.reader().Read(begin, end - begin));
  return expected == found;
}

class TextComparer {
 public:
  TextComparer(const AddressNames& names, Bytes expected, Bytes found)
      : names_(names),
        expected_(std::move(expected)),
        found_(std::move(found)) {}

  // Puts each site that the kernel may have written back as the image has it.
  void Undo(const std::vector<TextSite>& sites, SiteRules& rules,
            std::map<std::string, uint64_t>& rewritten) {
    const ByteView expected = expected_;
    for (const TextSite& site : sites) {
      const ByteView wanted = expected.subspan(site.offset, site.size);
      const ByteView now = ByteView(found_).subspan(site.offset, site.size);
      if (std::equal(wanted.begin(), wanted.end(), now.begin()) ||
          !rules.Explains(site, wanted, now,
                          names_.text_begin() + site.offset)) {
        continue;
      }
      ++rewritten[std::string(SiteKindName(site.kind))];
      std::copy(wanted.begin(), wanted.end(),
                found_.begin() + static_cast<ptrdiff_t>(site.offset));
    }
  }

  void Report(Findings& out) const {
    size_t at = 0;
    while (at < found_.size() && out.size() < kMostFindings) {
      const auto differs = std::mismatch(
          found_.begin() + static_cast<ptrdiff_t>(at), found_.end(),
          expected_.begin() + static_cast<ptrdiff_t>(at));
      if (differs.first == found_.end()) {
        return;
      }
      const auto begin = static_cast<size_t>(differs.first - found_.begin());
      size_t last = begin;
      for (size_t i = begin; i < found_.size() && i <= last + kGap; ++i) {
        last = found_[i] != expected_[i] ? i : last;
      }
      out.push_back({"code-modified", Severity::kCritical,
                     fmt::format("{}, {} bytes",
                                 names_.Describe(names_.text_begin() + begin),
                                 last - begin + 1),
                     Shown(expected_, begin, last),
                     Shown(found_, begin, last)});
      at = last + 1;
    }
  }

  // The image's text where they agree; what differs as it is.
  [[nodiscard]] Bytes Hash(ByteView linked) const {
    Bytes canonical = ToBytes(linked);
    for (size_t i = 0; i < canonical.size(); ++i) {
      if (found_[i] != expected_[i]) {
        canonical[i] = found_[i];
      }
    }
    const DigestBytes digest =
        vmattest::Hash(HashAlgorithm::kSha256, canonical);
    return {digest.begin(), digest.end()};
  }

 private:
  static std::string Shown(const Bytes& bytes, size_t begin, size_t last) {
    return ToHex(ByteView(bytes).subspan(
        begin, std::min(kShownBytes, last - begin + 1)));
  }

  const AddressNames& names_;
  const Bytes expected_;
  Bytes found_;
};

}  // namespace

absl::StatusOr<TextCheck> CheckKernelText(Kernel& kernel,
                                          const AddressNames& names,
                                          const CodeRanges& ranges,
                                          const KernelImage& image) {
  if (image.build_id() != kernel.info().build_id) {
    return absl::FailedPreconditionError(
        fmt::format("the image is of build {}, the guest runs {}",
                    image.build_id(), kernel.info().build_id));
  }
  TextCheck out;
  out.relocations = image.relocations();
  const KernelImage::Section& text = *image.Find(".text");
  const uint64_t moved = names.text_begin() - text.address;
  ASSIGN_OR_RETURN_WITH(const bool same_symbols,
                        HasSymbolTablesOf(kernel, image, moved),
                        "symbol tables");
  if (!same_symbols) {
    out.findings.push_back({"symbols-modified", Severity::kCritical, "kallsyms",
                            "the image's tables", "others"});
  }
  ASSIGN_OR_RETURN_WITH(Bytes found,
                        kernel.reader().Read(names.text_begin(), text.size),
                        "kernel text");
  TextComparer comparer(names, image.Loaded(text.address, text.size, moved),
                        std::move(found));
  if (same_symbols) {
    SiteRules rules(kernel, names, ranges, image);
    comparer.Undo(ReadTextSites(image, kernel.symbols(), moved), rules,
                  out.rewritten);
  }
  comparer.Report(out.findings);
  out.code_hash = comparer.Hash(image.At(text.address, text.size));
  return out;
}

}  // namespace vmattest::linuxguest
