#ifndef VMATTEST_TESTS_SUPPORT_SAVE_IMAGE_H_
#define VMATTEST_TESTS_SUPPORT_SAVE_IMAGE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace vmattest::testing {

// A file as libvirt saves a domain's memory to.
inline std::string SaveImage(std::string_view uuid, std::string_view memory,
                             bool complete = true) {
  const std::string xml = "<domain type='qemu'>\n  <name>web</name>\n  <uuid>" +
                          std::string(uuid) + "</uuid>\n</domain>\n" +
                          std::string(1, '\0');
  std::string image = complete ? "LibvirtQemudSave" : "LibvirtQemudPart";
  const uint32_t numbers[5] = {2, static_cast<uint32_t>(xml.size()), 1, 0, 0};
  image.append(reinterpret_cast<const char*>(numbers), sizeof(numbers));
  image.append(14 * sizeof(uint32_t), '\0');
  return image + xml + std::string(memory);
}

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SAVE_IMAGE_H_
