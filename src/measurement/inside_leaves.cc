#include "measurement/inside_leaves.h"

#include <algorithm>

#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "measurement/disk_layers.h"
#include "measurement/domain_leaves.h"
#include "measurement/leaf_path.h"

namespace vmattest::measurement {
namespace {

// Whether the disk, not the host, is why nothing came of it: such a VM is
// measured, and says so.
bool IsTheDisksFault(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ||
         absl::IsFailedPrecondition(status) ||
         absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

class Looker {
 public:
  Looker(inspection::DiskInspector& inspector, const MeasureOptions& options)
      : inspector_(inspector), options_(options) {}

  absl::Status Look(const XmlElement& disk, const DiskLayers& layers,
                    const std::string& path) {
    if (!layers.unbound.empty() || layers.absent) {
      AddUnavailable(path, layers.absent ? "absent" : layers.unbound);
      return absl::OkStatus();
    }
    if (layers.layers.empty()) {
      return absl::OkStatus();
    }
    const image::ImageLayer& top = layers.layers.front();
    if (!top.local) {
      AddUnavailable(path, "not a local file");
      return absl::OkStatus();
    }
    inspection::DiskInspector::Request request;
    request.path = top.path;
    request.format = top.format;
    if (layers.writable_top && !options_.running_vm.empty()) {
      const XmlElement* target = disk.Child("target");
      request.running_vm = options_.running_vm;
      request.target = target == nullptr ? "" : target->Get("dev");
    }
    request.algorithm = options_.algorithm;
    request.inside = options_.inside;
    request.cancelled = options_.cancelled;
    const absl::StatusOr<inspection::DiskReport> report =
        inspector_.Inspect(request);
    if (report.ok()) {
      return Add(path, *report);
    }
    if (!IsTheDisksFault(report.status())) {
      return report.status();
    }
    AddUnavailable(path, std::string(report.status().message()));
    return absl::OkStatus();
  }

  InsideLeaves Take() && {
    std::sort(found_.subtrees.begin(), found_.subtrees.end(),
              [](const ConfigSubtree& a, const ConfigSubtree& b) {
                return a.path < b.path;
              });
    return std::move(found_);
  }

 private:
  void AddUnavailable(const std::string& path, std::string why) {
    found_.leaves.push_back(
        {path + "/inside", LeafType::kUnavailable, std::move(why)});
  }

  absl::Status Add(const std::string& path,
                   const inspection::DiskReport& report) {
    ASSIGN_OR_RETURN(
        evidence::BuiltSubtree inside,
        evidence::BuildSubtree(options_.algorithm, path + "/inside",
                               report.leaves, options_.Salt()));
    found_.leaves.push_back(std::move(inside.leaf));
    found_.subtrees.push_back(std::move(inside.subtree));
    if (report.guest_digest) {
      found_.leaves.push_back(
          {path + "/guest/content", LeafType::kDigest,
           fmt::format("{}:{}", inspection::GuestDigestName(options_.algorithm),
                       ToHex(*report.guest_digest))});
    }
    return absl::OkStatus();
  }

  inspection::DiskInspector& inspector_;
  const MeasureOptions& options_;
  InsideLeaves found_;
};

bool HoldsNoSystem(const XmlElement& disk) {
  return disk.Get("device") == "cdrom" || disk.Get("device") == "floppy";
}

struct FoundDisk {
  const XmlElement* disk;
  std::string path;
  DiskLayers layers;
};

absl::StatusOr<std::vector<FoundDisk>> FindDisks(const XmlElement& domain,
                                                 image::HeaderParser& parser) {
  std::vector<FoundDisk> disks;
  const std::vector<std::string> paths = ChildPaths(domain, "");
  for (size_t i = 0; i < paths.size(); ++i) {
    const XmlElement& part = domain.children[i];
    if (!part.Is("devices")) {
      continue;
    }
    const std::vector<std::string> device_paths = ChildPaths(part, paths[i]);
    for (size_t n = 0; n < device_paths.size(); ++n) {
      const XmlElement& device = part.children[n];
      if (device.Is("disk") && !HoldsNoSystem(device)) {
        FoundDisk found{&device, TypedPath(device_paths[n]), {}};
        ASSIGN_OR_RETURN_WITH(found.layers, FindDiskLayers(device, parser),
                              found.path + "/inside");
        disks.push_back(std::move(found));
      }
    }
  }
  return disks;
}

}  // namespace

absl::StatusOr<InsideLeaves> LookInside(
    const XmlElement& domain, inspection::DiskInspector* inspector,
    const image::HeaderParserFactory& make_parser,
    const MeasureOptions& options) {
  if (inspector == nullptr) {
    return absl::FailedPreconditionError(
        "nothing here can look into disks: the worker process is missing");
  }
  // All headers first: what parses them is not kept while disks are read.
  ASSIGN_OR_RETURN(const std::vector<FoundDisk> disks,
                   FindDisks(domain, *make_parser()));
  Looker looker(*inspector, options);
  for (const FoundDisk& found : disks) {
    RETURN_IF_ERROR_WITH(looker.Look(*found.disk, found.layers, found.path),
                         found.path + "/inside");
  }
  return std::move(looker).Take();
}

}  // namespace vmattest::measurement
