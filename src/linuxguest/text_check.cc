#include "linuxguest/text_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "linuxguest/site_rules.h"
#include "linuxguest/text_comparer.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostTables = 64 << 20;

}  // namespace

absl::StatusOr<bool> HasSymbolTablesOf(Kernel& kernel, const KernelImage& image,
                                       uint64_t moved) {
  // They lie together, whatever their order.
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
  TextComparer comparer(names, names.text_begin(),
                        image.Loaded(text.address, text.size, moved),
                        std::move(found));
  if (same_symbols) {
    SiteRules rules(kernel, names, ranges, image, moved);
    comparer.Undo(ReadTextSites(image, kernel.symbols(), moved), rules,
                  out.rewritten);
  }
  comparer.Report("code-modified", out.findings);
  out.code_hash = comparer.Hash(image.At(text.address, text.size));
  return out;
}

}  // namespace vmattest::linuxguest
