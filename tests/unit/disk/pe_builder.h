#ifndef VMATTEST_TESTS_UNIT_DISK_PE_BUILDER_H_
#define VMATTEST_TESTS_UNIT_DISK_PE_BUILDER_H_

#include <string>
#include <vector>

namespace vmattest::testing {

struct PeOptions {
  bool plus = true;  // PE32+
  std::vector<std::string> sections;
  unsigned directories = 16;
  bool reversed = false;  // the last section comes first in the file
};

// A small EFI application: the PE header at 0x40, sections from 0x400 on,
// 0x200 bytes each.
std::string MakePe(const PeOptions& options);

// The bytes of an unsigned image of MakePe() that its digest covers.
std::string HashedPart(const std::string& image);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_DISK_PE_BUILDER_H_
