#include "measurement/disk_layers.h"

#include "fmt/format.h"
#include "image/content_file.h"

namespace vmattest::measurement {
namespace {

struct Source {
  std::string path;
  std::string unbound;
};

Source SourceOf(std::string_view type, const XmlElement& source) {
  if (type.empty() || type == "file") {
    return {std::string(source.Get("file")), ""};
  }
  if (type == "block") {
    return {std::string(source.Get("dev")), ""};
  }
  return {"", fmt::format("{} disk", type)};
}

std::string FormatOf(const XmlElement& layer, std::string_view element) {
  const XmlElement* named = layer.Child(element);
  const std::string_view format =
      named == nullptr ? std::string_view() : named->Get("type");
  // libvirt's own default; it does not probe.
  return std::string(format.empty() ? "raw" : format);
}

// A layer whose backing file the XML names, so that its header does not count.
absl::StatusOr<image::ImageLayer> LayerByItself(const std::string& path,
                                                const std::string& format,
                                                image::HeaderParser& parser) {
  image::ImageLayer layer;
  layer.path = path;
  layer.format = format;
  if (format != "qcow2") {
    return layer;
  }
  ASSIGN_OR_RETURN(const image::ContentFile file, image::OpenContent(path));
  ASSIGN_OR_RETURN_WITH(const image::ImageHeader header,
                        parser.Parse(file, path, format), path);
  layer.encrypted = header.encrypted;
  if (header.data_file) {
    const bool absolute = header.data_file->starts_with('/');
    layer.data_file =
        absolute ? *header.data_file
                 : path.substr(0, path.rfind('/') + 1) + *header.data_file;
    layer.data_file_local =
        absolute || header.data_file->find(':') == std::string::npos;
  }
  return layer;
}

absl::Status AppendChain(const std::string& path, const std::string& format,
                         image::HeaderParser& parser,
                         std::vector<image::ImageLayer>& layers) {
  ASSIGN_OR_RETURN(const std::vector<image::ImageLayer> chain,
                   image::ResolveChain(path, format, parser));
  layers.insert(layers.end(), chain.begin(), chain.end());
  return absl::OkStatus();
}

// The layers below the one at `path`, as far as the XML names them.
absl::Status AppendLayers(std::string path, std::string format,
                          const XmlElement* store, image::HeaderParser& parser,
                          std::vector<image::ImageLayer>& layers) {
  while (store != nullptr) {
    ASSIGN_OR_RETURN(image::ImageLayer layer,
                     LayerByItself(path, format, parser));
    layers.push_back(std::move(layer));
    const XmlElement* source = store->Child("source");
    if (source == nullptr) {
      return absl::OkStatus();  // <backingStore/>: nothing below
    }
    Source below = SourceOf(store->Get("type"), *source);
    format = FormatOf(*store, "format");
    if (!below.path.starts_with('/')) {
      image::ImageLayer unbound;
      unbound.path = below.unbound.empty() ? below.path : below.unbound;
      unbound.format = format;
      unbound.local = false;
      layers.push_back(std::move(unbound));
      return absl::OkStatus();
    }
    path = std::move(below.path);
    store = store->Child("backingStore");
  }
  return AppendChain(path, format, parser, layers);
}

bool IsOptional(const XmlElement& source) {
  const std::string_view policy = source.Get("startupPolicy");
  return policy == "optional" || policy == "requisite";
}

}  // namespace

absl::StatusOr<DiskLayers> FindDiskLayers(const XmlElement& disk,
                                          image::HeaderParser& parser) {
  DiskLayers found;
  const XmlElement* source = disk.Child("source");
  if (source == nullptr) {
    return found;
  }
  Source top = SourceOf(disk.Get("type"), *source);
  if (!top.unbound.empty() || top.path.empty()) {
    found.unbound = std::move(top.unbound);
    return found;
  }
  if (!top.path.starts_with('/')) {
    found.unbound = "relative path";
    return found;
  }
  found.writable_top = disk.Child("readonly") == nullptr &&
                       disk.Child("transient") == nullptr &&
                       disk.Get("device") != "cdrom";
  const absl::Status status =
      AppendLayers(top.path, FormatOf(disk, "driver"),
                   disk.Child("backingStore"), parser, found.layers);
  if (absl::IsNotFound(status) && found.layers.empty() && IsOptional(*source)) {
    found.absent = true;
    return found;
  }
  RETURN_IF_ERROR(status);
  return found;
}

}  // namespace vmattest::measurement
