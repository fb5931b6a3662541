// Domain XML from strangers: measured without content. Besides not crashing,
// the same text has one root, its leaves make a tree that rebuilds, and what
// our own writer makes of it means the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "evidence/config_tree.h"
#include "measurement/domain_measurer.h"
#include "measurement/live_xml.h"
#include "measurement/xml_element.h"

namespace {

using vmattest::measurement::DomainMeasurement;

class NoDigester final : public vmattest::image::ContentDigester {
 public:
  absl::StatusOr<vmattest::image::ContentDigest> Digest(
      const Request& /*request*/) override {
    std::abort();
  }
};

absl::StatusOr<DomainMeasurement> Measure(std::string_view xml) {
  NoDigester digester;
  vmattest::measurement::MeasureOptions options;
  options.content = vmattest::measurement::ContentPolicy::kNone;
  return vmattest::measurement::DomainMeasurer(digester, nullptr)
      .Measure(xml, options);
}

void Require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<DomainMeasurement> measured = Measure(xml);
  if (!measured.ok()) {
    Require(!measured.status().message().empty());
    return 0;
  }
  const absl::StatusOr<DomainMeasurement> again = Measure(xml);
  Require(again.ok() && again->tree.root == measured->tree.root);
  const auto rebuilt = vmattest::evidence::RebuildConfigTree(
      measured->tree.algorithm, measured->tree.leaves);
  Require(rebuilt.ok() && rebuilt->root == measured->tree.root);
  const auto element = vmattest::measurement::ParseXml(xml);
  Require(element.ok());
  const auto rewritten = Measure(vmattest::measurement::WriteXml(*element));
  Require(rewritten.ok() && rewritten->tree.root == measured->tree.root);
  const auto as_defined = vmattest::measurement::AsDefined(xml, xml);
  Require(as_defined.ok());
  Require(Measure(*as_defined)->tree.root == measured->tree.root);
  return 0;
}
