#ifndef VMATTEST_TESTS_UNIT_MEASUREMENT_MEASURE_TEXT_H_
#define VMATTEST_TESTS_UNIT_MEASUREMENT_MEASURE_TEXT_H_

#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "image/content_digest.h"
#include "measurement/domain_measurer.h"

namespace vmattest::measurement {

// Where no content may be read.
class NoDigester final : public image::ContentDigester {
 public:
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override {
    ADD_FAILURE() << "content was read: " << request.path;
    return absl::InternalError("content was read");
  }
};

inline absl::StatusOr<DomainMeasurement> MeasureText(std::string_view xml) {
  NoDigester digester;
  MeasureOptions options;
  options.content = ContentPolicy::kNone;
  return DomainMeasurer(digester, nullptr).Measure(xml, options);
}

// The root in hex, or the error.
inline std::string RootOf(std::string_view xml) {
  const auto measured = MeasureText(xml);
  return measured.ok() ? ToHex(measured->tree.root)
                       : measured.status().ToString();
}

// The "type value" of a leaf; empty if there is none.
inline std::string LeafOf(const std::vector<ConfigLeaf>& leaves,
                          std::string_view path) {
  for (const ConfigLeaf& leaf : leaves) {
    if (leaf.path == path) {
      return std::string(ToString(leaf.type)) + " " + leaf.value;
    }
  }
  return "";
}
inline std::string LeafOf(std::string_view xml, std::string_view path) {
  const auto measured = MeasureText(xml);
  EXPECT_TRUE(measured.ok()) << measured.status().ToString();
  return measured.ok() ? LeafOf(measured->tree.leaves, path) : "";
}

// A small definition with `devices` in it.
inline std::string DomainWith(std::string_view devices,
                              std::string_view top = "",
                              std::string_view attributes = "") {
  return std::string("<domain type='kvm' ") + std::string(attributes) +
         "><name>web</name><memory>1024</memory><os><type>hvm</type></os>" +
         std::string(top) + "<devices>" + std::string(devices) +
         "</devices></domain>";
}

}  // namespace vmattest::measurement

#endif  // VMATTEST_TESTS_UNIT_MEASUREMENT_MEASURE_TEXT_H_
