#ifndef VMATTEST_MEASUREMENT_TYPED_LEAVES_H_
#define VMATTEST_MEASUREMENT_TYPED_LEAVES_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmattest/types/config_leaf.h"

// Which attributes and texts become typed leaves, as tables: one row is one
// leaf, one source file a subject. docs/formats/config-measurement.md shows
// the same table, and a test compares them. Pure; any thread.

namespace vmattest::measurement {

enum class ValueKind : uint8_t {
  kText,     // as written
  kInteger,  // decimal, white space around it allowed
  kSize,     // with the attribute `unit` (default KiB) becomes bytes
  kYesNo,
  kOnOff,
  kMac,
  kUuid,
};

struct TypedRule {
  std::string_view element;    // "devices/disk/source", "" is <domain>
  std::string_view attribute;  // empty: the element's text
  ValueKind kind = ValueKind::kText;
  // The leaf's whole path, for elements that occur once; empty: path of the
  // element, then the attribute's name.
  std::string_view path = {};
};

std::span<const TypedRule> GeneralRules();
std::span<const TypedRule> MemoryRules();
std::span<const TypedRule> CpuRules();
std::span<const TypedRule> BootRules();
std::span<const TypedRule> DiskRules();
std::span<const TypedRule> NetworkRules();
std::span<const TypedRule> DeviceRules();
// All of the above.
const std::vector<TypedRule>& TypedRules();

struct TypedValue {
  LeafType type = LeafType::kText;
  std::string value;
};

// The canonical form of `text`; nothing if it is not of that kind. `unit` is
// for kSize only.
std::optional<TypedValue> ParseTyped(ValueKind kind, std::string_view text,
                                     std::string_view unit = "KiB");

// What a value of that kind is called in warnings and in the document.
std::string_view ToString(ValueKind kind);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_TYPED_LEAVES_H_
