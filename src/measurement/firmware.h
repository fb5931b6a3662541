#ifndef VMATTEST_MEASUREMENT_FIRMWARE_H_
#define VMATTEST_MEASUREMENT_FIRMWARE_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "measurement/xml_element.h"

// <os firmware='efi'> without the file of a <loader> leaves it to libvirt to
// choose the firmware, at each start anew, of what is installed on the host.
// libvirt 9.0 writes its choice into the live XML alone. So that a stopped
// domain is measured with the firmware that it would get, libvirt is asked
// what it would start: its own rules decide, none are repeated here.
// Pure; any thread.

namespace vmattest::measurement {

// What libvirt would choose; as the attributes and texts of <loader>, <nvram>.
struct ChosenFirmware {
  std::string loader;  // absolute path
  bool flash = true;   // type='pflash', else 'rom'
  bool read_only = false;
  bool secure = false;
  std::string nvram;  // empty: none
  friend bool operator==(const ChosenFirmware&,
                         const ChosenFirmware&) = default;
};

// Whether an <os> leaves the choice open.
bool LeavesFirmwareOpen(const XmlElement& os);

// The definition of a domain for which libvirt chooses the same firmware as
// for `xml`, without devices and what else could make it look at the host's
// files or refuse. Nothing if `xml` leaves nothing open.
// INVALID_ARGUMENT: `xml` is not well-formed.
absl::StatusOr<std::optional<std::string>> FirmwareQuestion(
    std::string_view xml);

// Reads libvirt's answer: a QEMU command line as virConnectDomainXMLToNative
// ("qemu-argv") and `virsh domxml-to-native qemu-argv` print it.
// NOT_FOUND: it names no firmware, or in no way that libvirt 9 uses.
// INVALID_ARGUMENT: it names two, or is no command line.
absl::StatusOr<ChosenFirmware> FirmwareOfCommand(std::string_view command);

// `xml` with the choice written where it was left open, as the live XML has
// it; where nothing was left open, `xml` as it is.
// INVALID_ARGUMENT: not well-formed.
absl::StatusOr<std::string> WithFirmware(std::string_view xml,
                                         const ChosenFirmware& firmware);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_FIRMWARE_H_
