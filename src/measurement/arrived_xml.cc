#include "measurement/arrived_xml.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/status.h"
#include "measurement/disk_layers.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {
namespace {

bool SameLayer(const image::ImageLayer& a, const image::ImageLayer& b) {
  return a.path == b.path && a.format == b.format && a.local == b.local &&
         a.encrypted == b.encrypted && a.data_file == b.data_file &&
         a.data_file_local == b.data_file_local;
}

// Of a format that had to be guessed the XML says more than the headers.
bool SameLayers(const DiskLayers& a, const DiskLayers& b) {
  return a.unbound.empty() && b.unbound.empty() && !a.absent && !b.absent &&
         std::equal(a.layers.begin(), a.layers.end(), b.layers.begin(),
                    b.layers.end(), SameLayer) &&
         std::none_of(b.layers.begin(), b.layers.end(),
                      [](const auto& layer) { return layer.probed; });
}

void TakeOutKnownLayers(XmlElement& disk, image::HeaderParser& parser) {
  const XmlElement* const store = disk.Child("backingStore");
  if (store == nullptr) {
    return;
  }
  XmlElement without = disk;
  without.EraseChild(without.Child("backingStore"));
  const absl::StatusOr<DiskLayers> told = FindDiskLayers(disk, parser);
  const absl::StatusOr<DiskLayers> found = FindDiskLayers(without, parser);
  if (told.ok() && found.ok() && SameLayers(*told, *found)) {
    disk = std::move(without);
  }
}

}  // namespace

absl::StatusOr<std::string> AsBeforeMigration(
    std::string_view xml, const image::HeaderParserFactory& make_parser) {
  ASSIGN_OR_RETURN(XmlElement domain, ParseXml(xml));
  if (!domain.Is("domain")) {
    return absl::InvalidArgumentError("no <domain>");
  }
  XmlElement* const devices = domain.Child("devices");
  if (devices == nullptr) {
    return std::string(xml);
  }
  const std::unique_ptr<image::HeaderParser> parser = make_parser();
  for (XmlElement& device : devices->children) {
    if (device.Is("disk")) {
      TakeOutKnownLayers(device, *parser);
    }
  }
  return WriteXml(domain);
}

}  // namespace vmattest::measurement
