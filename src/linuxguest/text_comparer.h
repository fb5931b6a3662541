#ifndef VMATTEST_LINUXGUEST_TEXT_COMPARER_H_
#define VMATTEST_LINUXGUEST_TEXT_COMPARER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "linuxguest/address_names.h"
#include "linuxguest/finding.h"
#include "linuxguest/site_rules.h"
#include "linuxguest/text_sites.h"

namespace vmattest::linuxguest {

// Code as it should be and as it is, at one address of the guest; of the same
// size. One thread.
class TextComparer {
 public:
  TextComparer(const AddressNames& names, uint64_t address, Bytes expected,
               Bytes found);

  // Puts each site that the kernel may have written back as it should be, and
  // counts it by SiteKindName.
  void Undo(const std::vector<TextSite>& sites, SiteRules& rules,
            std::map<std::string, uint64_t>& rewritten);

  // `code-modified` for each place that still differs.
  void Report(Findings& out) const;

  // SHA-256 of `linked`, the same code before it was moved, but for the bytes
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
