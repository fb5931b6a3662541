#ifndef VMATTEST_LINUXGUEST_TEXT_COMPARER_H_
#define VMATTEST_LINUXGUEST_TEXT_COMPARER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/site_rules.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {

// Code, or constants, as they should be and as they are, at one address of the
// guest; of the same size. One thread.
class TextComparer {
 public:
  TextComparer(const AddressNames& names, uint64_t address, Bytes expected,
               Bytes found);

  // Puts each site that the kernel may have written back as it should be, and
  // counts it by SiteKindName.
  void Undo(const std::vector<TextSite>& sites, SiteRules& rules,
            std::map<std::string, uint64_t>& rewritten);

  // Takes `size` bytes from `begin` of it as they should be, whatever they are.
  void Excuse(uint64_t begin, uint64_t size);

  // `code` for each place that still differs.
  void Report(std::string_view code, Findings& out) const;

  // SHA-256 of `linked`, the same before it was moved, but for the bytes
  // that still differ: those as they are.
  [[nodiscard]] Bytes Hash(ByteView linked) const;

 private:
  const AddressNames& names_;
  const uint64_t address_;
  const Bytes expected_;
  Bytes found_;
};

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_TEXT_COMPARER_H_
