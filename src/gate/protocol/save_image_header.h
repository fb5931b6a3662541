#ifndef VMATTEST_GATE_PROTOCOL_SAVE_IMAGE_HEADER_H_
#define VMATTEST_GATE_PROTOCOL_SAVE_IMAGE_HEADER_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

// The beginning of a file into which libvirt saved a domain's memory (virsh
// save, managedsave, the memory of an external snapshot), as libvirt 9.0 writes
// it: 16 bytes of magic, five numbers of 32 bits (version, length of XML and
// cookie, ran before, compression, offset of the cookie), 56 reserved bytes,
// the XML. Anybody may have written it. Pure; any thread.

namespace vmattest::gate {

// As much of a file as is looked at.
inline constexpr size_t kSaveImagePrefix = 64u << 10;

struct SaveImageHeader {
  bool complete = false;  // libvirt marks it so when it has written all of it
  std::string vm_uuid;    // of the XML in it; never empty
};
// Nothing: it is no such file, or of a version or byte order that this does not
// know, or has no UUID in its first `kSaveImagePrefix` bytes.
std::optional<SaveImageHeader> ParseSaveImageHeader(ByteView prefix);

// The same of an open file, wherever its offset is; also nothing if it cannot
// be read.
std::optional<SaveImageHeader> ReadSaveImageHeader(int fd);

// The UUID of the domain in XML as libvirt writes it: its first <uuid>, which
// stands before everything that a domain's author can write freely. Empty if
// there is none.
std::string FirstUuid(std::string_view xml);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_PROTOCOL_SAVE_IMAGE_HEADER_H_
