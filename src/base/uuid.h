#ifndef VMATTEST_BASE_UUID_H_
#define VMATTEST_BASE_UUID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace vmattest {

// A VM's UUID, as libvirt has it. Ordered and comparable, so a map key.
struct Uuid {
  std::array<uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

// 8-4-4-4-12 lower-case.
std::string ToString(const Uuid& uuid);
// Accepts either case, with or without the hyphens.
absl::StatusOr<Uuid> ParseUuid(std::string_view text);

}  // namespace vmattest

#endif  // VMATTEST_BASE_UUID_H_
