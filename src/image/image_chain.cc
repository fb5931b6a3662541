#include "image/image_chain.h"

#include <set>
#include <utility>

#include "fmt/format.h"
#include "image/content_file.h"
#include "image/header_parser.h"

namespace vmattest::image {
namespace {

constexpr size_t kMaxLayers = 64;

// A layer as the one above it names it.
struct Reference {
  std::string path;
  bool local = true;
};

// QEMU's path_has_protocol: a colon before any slash.
bool HasProtocol(std::string_view name) {
  const size_t at = name.find_first_of(":/");
  return at != std::string_view::npos && name[at] == ':';
}

// QEMU's path_combine, without resolving "..": behind a symbolic link that
// would lead elsewhere.
Reference Resolve(const std::string& layer, std::string name) {
  static constexpr std::string_view kFile = "file:";
  if (std::string_view(name).substr(0, kFile.size()) == kFile) {
    name.erase(0, kFile.size());
  } else if (HasProtocol(name)) {
    return {std::move(name), false};
  }
  if (!name.empty() && name[0] == '/') {
    return {std::move(name), true};
  }
  return {layer.substr(0, layer.rfind('/') + 1) + name, true};
}

// "file" and "host_device" are drivers of QEMU that show the bytes as they are.
std::string BackingFormat(const ImageHeader& header) {
  const std::string format = header.backing_format.value_or("");
  return format == "file" || format == "host_device" ? "raw" : format;
}

// One layer and, if there is one, the next.
struct Step {
  ImageLayer layer;
  std::optional<Reference> next;
  std::string next_format;
};

using FileIds = std::set<std::pair<uint64_t, uint64_t>>;

absl::StatusOr<Step> Visit(const Reference& reference,
                           const std::string& format, HeaderParser& parser,
                           FileIds& seen) {
  Step step;
  step.layer.path = reference.path;
  step.layer.format = format;
  step.layer.local = reference.local;
  if (!reference.local) {
    return step;
  }
  ASSIGN_OR_RETURN(const ContentFile file, OpenContent(reference.path));
  if (!seen.emplace(file.stamp.device, file.stamp.inode).second) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the chain loops back to this file", reference.path));
  }
  ASSIGN_OR_RETURN_WITH(const ImageHeader header,
                        parser.Parse(file, reference.path, format),
                        reference.path);
  step.layer.format = header.format;
  step.layer.probed = format.empty();
  step.layer.encrypted = header.encrypted;
  if (header.data_file) {
    Reference data = Resolve(reference.path, *header.data_file);
    step.layer.data_file = std::move(data.path);
    step.layer.data_file_local = data.local;
  }
  if (header.backing_file) {
    step.next = Resolve(reference.path, *header.backing_file);
    step.next_format = BackingFormat(header);
  }
  return step;
}

}  // namespace

absl::StatusOr<std::vector<ImageLayer>> ResolveChain(const std::string& path,
                                                     std::string_view format) {
  DirectHeaderParser parser;
  return ResolveChain(path, format, parser);
}

absl::StatusOr<std::vector<ImageLayer>> ResolveChain(const std::string& path,
                                                     std::string_view format,
                                                     HeaderParser& parser) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(
        fmt::format("image path '{}' is not absolute", path));
  }
  std::vector<ImageLayer> chain;
  FileIds seen;
  std::optional<Reference> next = Reference{path, true};
  std::string next_format(format);
  while (next) {
    if (chain.size() == kMaxLayers) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: more than {} layers in the backing chain", path, kMaxLayers));
    }
    absl::StatusOr<Step> step = Visit(*next, next_format, parser, seen);
    if (!step.ok()) {
      return chain.empty()
                 ? step.status()
                 : Annotate(step.status(),
                            fmt::format("layer {} of {}", chain.size(), path));
    }
    chain.push_back(std::move(step->layer));
    next = std::move(step->next);
    next_format = std::move(step->next_format);
  }
  return chain;
}

}  // namespace vmattest::image
