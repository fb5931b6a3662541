#include "linuxguest/text_comparer.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/digest.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostFindings = 256;
constexpr size_t kShownBytes = 16;
// Changes closer than this are one.
constexpr size_t kGap = 16;

std::string Shown(const Bytes& bytes, size_t begin, size_t last) {
  return ToHex(
      ByteView(bytes).subspan(begin, std::min(kShownBytes, last - begin + 1)));
}

}  // namespace

TextComparer::TextComparer(const AddressNames& names, uint64_t address,
                           Bytes expected, Bytes found)
    : names_(names),
      address_(address),
      expected_(std::move(expected)),
      found_(std::move(found)) {}

void TextComparer::Undo(const std::vector<TextSite>& sites, SiteRules& rules,
                        std::map<std::string, uint64_t>& rewritten) {
  const ByteView expected = expected_;
  for (const TextSite& site : sites) {
    const ByteView wanted = expected.subspan(site.offset, site.size);
    const ByteView now = ByteView(found_).subspan(site.offset, site.size);
    if (std::equal(wanted.begin(), wanted.end(), now.begin()) ||
        !rules.Explains(site, wanted, now, address_ + site.offset)) {
      continue;
    }
    ++rewritten[std::string(SiteKindName(site.kind))];
    std::copy(wanted.begin(), wanted.end(),
              found_.begin() + static_cast<ptrdiff_t>(site.offset));
  }
}

void TextComparer::Excuse(uint64_t begin, uint64_t size) {
  std::copy_n(expected_.begin() + static_cast<ptrdiff_t>(begin), size,
              found_.begin() + static_cast<ptrdiff_t>(begin));
}

void TextComparer::Report(std::string_view code, Findings& out) const {
  size_t at = 0;
  while (at < found_.size() && out.size() < kMostFindings) {
    const auto differs =
        std::mismatch(found_.begin() + static_cast<ptrdiff_t>(at), found_.end(),
                      expected_.begin() + static_cast<ptrdiff_t>(at));
    if (differs.first == found_.end()) {
      return;
    }
    const auto begin = static_cast<size_t>(differs.first - found_.begin());
    size_t last = begin;
    for (size_t i = begin; i < found_.size() && i <= last + kGap; ++i) {
      last = found_[i] != expected_[i] ? i : last;
    }
    out.push_back(
        {std::string(code), Severity::kCritical,
         fmt::format("{}, {} bytes", names_.Describe(address_ + begin),
                     last - begin + 1),
         Shown(expected_, begin, last), Shown(found_, begin, last)});
    at = last + 1;
  }
}

Bytes TextComparer::Hash(ByteView linked) const {
  Bytes canonical = ToBytes(linked);
  for (size_t i = 0; i < canonical.size(); ++i) {
    if (found_[i] != expected_[i]) {
      canonical[i] = found_[i];
    }
  }
  const DigestBytes digest = vmattest::Hash(HashAlgorithm::kSha256, canonical);
  return {digest.begin(), digest.end()};
}

}  // namespace vmattest::linuxguest
