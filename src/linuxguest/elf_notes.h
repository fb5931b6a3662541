#ifndef VMATTEST_LINUXGUEST_ELF_NOTES_H_
#define VMATTEST_LINUXGUEST_ELF_NOTES_H_

#include <optional>
#include <string>

#include "base/bytes.h"

namespace vmattest::linuxguest {

// The build id among ELF notes (NT_GNU_BUILD_ID), in lower-case hex.
std::optional<std::string> BuildIdAmong(ByteView notes);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_ELF_NOTES_H_
