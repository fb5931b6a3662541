#include "measurement/content_sources.h"

#include <filesystem>
#include <initializer_list>

#include "fmt/format.h"
#include "measurement/disk_layers.h"
#include "measurement/domain_leaves.h"
#include "measurement/firmware.h"
#include "measurement/leaf_path.h"

namespace vmattest::measurement {
namespace {

std::string FirstExisting(std::initializer_list<const char*> candidates) {
  for (const char* candidate : candidates) {
    std::error_code ignored;
    if (std::filesystem::exists(candidate, ignored)) {
      return candidate;
    }
  }
  return *candidates.begin();
}

class ContentPlanner {
 public:
  ContentPlanner(ContentPolicy policy, image::HeaderParser& parser)
      : policy_(policy), parser_(parser) {}

  absl::StatusOr<ContentPlan> Plan(const XmlElement& domain) && {
    const std::vector<std::string> paths = ChildPaths(domain, "");
    for (size_t i = 0; i < paths.size(); ++i) {
      const XmlElement& part = domain.children[i];
      if (part.Is("os")) {
        PlanBoot(part, paths[i]);
      } else if (part.Is("sysinfo")) {
        PlanFirmwareConfig(part, paths[i]);
      } else if (part.Is("devices")) {
        RETURN_IF_ERROR(PlanDevices(part, paths[i]));
      }
    }
    AddFile("host/qemu.conf", "/etc/libvirt/qemu.conf", true);
    return std::move(plan_);
  }

 private:
  // `what`/content, read from `file`.
  void AddFile(const std::string& what, std::string_view file,
               bool may_be_absent = false) {
    if (file.empty()) {
      return;
    }
    if (file.front() != '/') {
      AddUnavailable(what, "unbound: relative path");
      return;
    }
    plan_.files.push_back(
        {what + "/content", std::string(file), may_be_absent});
  }

  void AddUnavailable(const std::string& what, std::string why) {
    plan_.leaves.push_back(
        {what + "/content", LeafType::kUnavailable, std::move(why)});
  }

  void AddText(std::string path, std::string text) {
    plan_.leaves.push_back({std::move(path), LeafType::kText, std::move(text)});
  }

  void PlanBoot(const XmlElement& os, const std::string& os_path) {
    const std::vector<std::string> paths = ChildPaths(os, os_path);
    for (size_t i = 0; i < paths.size(); ++i) {
      const XmlElement& part = os.children[i];
      if (part.Is("kernel") || part.Is("initrd") || part.Is("dtb") ||
          part.Is("shim") || part.Is("loader")) {
        AddFile(paths[i], part.Text());
      } else if (part.Is("nvram")) {
        PlanNvram(part, paths[i]);
      } else if (part.Is("acpi")) {
        PlanTables(part, paths[i]);
      }
    }
    if (LeavesFirmwareOpen(os)) {
      AddUnavailable(os_path + "/loader",
                     "unbound: libvirt chooses the firmware at start");
    }
  }

  void PlanNvram(const XmlElement& nvram, const std::string& path) {
    AddFile(path + "/template", nvram.Get("template"));
    const XmlElement* source = nvram.Child("source");
    if (source == nullptr) {
      AddFile(path, nvram.Text(), true);
    } else if (!source->Get("file").empty() || !source->Get("dev").empty()) {
      AddFile(path, source->Get("file"), true);
      AddFile(path, source->Get("file").empty() ? source->Get("dev") : "");
    } else {
      AddUnavailable(path,
                     fmt::format("unbound: {} source", nvram.Get("type")));
    }
  }

  void PlanTables(const XmlElement& acpi, const std::string& path) {
    const std::vector<std::string> paths = ChildPaths(acpi, path);
    for (size_t i = 0; i < paths.size(); ++i) {
      if (acpi.children[i].Is("table")) {
        AddFile(paths[i], acpi.children[i].Text());
      }
    }
  }

  void PlanFirmwareConfig(const XmlElement& sysinfo, const std::string& path) {
    const std::vector<std::string> paths = ChildPaths(sysinfo, path);
    for (size_t i = 0; i < paths.size(); ++i) {
      if (sysinfo.children[i].Is("entry")) {
        AddFile(paths[i], sysinfo.children[i].Get("file"));
      }
    }
  }

  absl::Status PlanDevices(const XmlElement& devices,
                           const std::string& devices_path) {
    const std::vector<std::string> paths = ChildPaths(devices, devices_path);
    for (size_t i = 0; i < paths.size(); ++i) {
      const XmlElement& device = devices.children[i];
      const std::string path = TypedPath(paths[i]);
      PlanPrograms(device, path);
      if (const XmlElement* rom = device.Child("rom"); rom != nullptr) {
        AddFile(path + "/rom", rom->Get("file"));
      }
      if (device.Is("disk")) {
        RETURN_IF_ERROR_WITH(PlanDisk(device, path), path + "/chain");
      } else if (device.Is("memory")) {
        PlanModule(device, path);
      }
    }
    return absl::OkStatus();
  }

  // What the host runs for the guest beside it.
  void PlanPrograms(const XmlElement& device, const std::string& path) {
    if (device.Is("emulator")) {
      AddFile(path, device.Text());
    }
    const XmlElement* binary = device.Child("binary");
    const XmlElement* driver = device.Child("driver");
    const XmlElement* backend = device.Child("backend");
    const XmlElement* source = device.Child("source");
    if (binary != nullptr && binary->Attribute("path") != nullptr) {
      AddFile(path + "/binary", binary->Get("path"));
    } else if (device.Is("filesystem") && driver != nullptr &&
               driver->Get("type") == "virtiofs" &&
               (source == nullptr || source->Attribute("socket") == nullptr)) {
      AddFile(path + "/binary", FirstExisting({"/usr/lib/qemu/virtiofsd",
                                               "/usr/libexec/virtiofsd"}));
    }
    if (device.Is("tpm") && backend != nullptr &&
        backend->Get("type") == "emulator") {
      AddFile(path + "/emulator",
              FirstExisting({"/usr/bin/swtpm", "/usr/local/bin/swtpm"}));
    }
  }

  // A guest writes into the file behind an NVDIMM as it does into a disk.
  void PlanModule(const XmlElement& module, const std::string& path) {
    const XmlElement* source = module.Child("source");
    const XmlElement* file =
        source == nullptr ? nullptr : source->Child("path");
    if (file == nullptr) {
      return;
    }
    const XmlElement* target = module.Child("target");
    const bool read_only =
        target != nullptr && target->Child("readonly") != nullptr;
    AddLayerContent(path + "/source", std::string(file->Text()), !read_only);
  }

  void AddLayerContent(const std::string& what, const std::string& file,
                       bool writable) {
    if (writable && policy_ == ContentPolicy::kChain) {
      AddUnavailable(what, "identity only: the guest writes to it");
    } else {
      AddFile(what, file);
    }
  }

  absl::Status PlanDisk(const XmlElement& disk, const std::string& path) {
    ASSIGN_OR_RETURN(const DiskLayers disk_layers,
                     FindDiskLayers(disk, parser_));
    if (!disk_layers.unbound.empty() || disk_layers.absent) {
      AddUnavailable(path + "/chain[0]",
                     disk_layers.absent
                         ? "absent"
                         : fmt::format("unbound: {}", disk_layers.unbound));
      return absl::OkStatus();
    }
    for (size_t i = 0; i < disk_layers.layers.size(); ++i) {
      PlanLayer(disk_layers.layers[i], fmt::format("{}/chain[{}]", path, i),
                i == 0 && disk_layers.writable_top);
    }
    return absl::OkStatus();
  }

  void PlanLayer(const image::ImageLayer& layer, const std::string& path,
                 bool writable) {
    AddText(path + "/file", layer.path);
    AddText(path + "/format", layer.format + (layer.probed ? " (probed)" : ""));
    if (!layer.local) {
      AddUnavailable(path, "unbound: not a local file");
      return;
    }
    AddLayerContent(path, layer.path, writable);
    if (!layer.data_file) {
      return;
    }
    AddText(path + "/data-file", *layer.data_file);
    if (layer.data_file_local) {
      AddLayerContent(path + "/data-file", *layer.data_file, writable);
    } else {
      AddUnavailable(path + "/data-file", "unbound: not a local file");
    }
  }

  const ContentPolicy policy_;
  image::HeaderParser& parser_;
  ContentPlan plan_;
};

}  // namespace

absl::StatusOr<ContentPlan> PlanContent(const XmlElement& domain,
                                        ContentPolicy policy,
                                        image::HeaderParser& parser) {
  return ContentPlanner(policy, parser).Plan(domain);
}

}  // namespace vmattest::measurement
