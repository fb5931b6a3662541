#include "gate/running_view.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "base/handles.h"
#include "measurement/xml_element.h"

namespace vmattest::gate {
namespace {

using measurement::XmlElement;

// Where the kernel keeps memory that a process made for itself.
std::optional<uint64_t> MemoryDevice(unsigned flags) {
  const UniqueFd memory(memfd_create("probe", MFD_CLOEXEC | flags));
  struct stat status {};
  return memory.valid() && fstat(memory.get(), &status) == 0
             ? std::optional<uint64_t>(status.st_dev)
             : std::nullopt;
}

bool IsMemory(const OpenFile& file) {
  static const std::optional<uint64_t> plain = MemoryDevice(0);
  static const std::optional<uint64_t> huge = MemoryDevice(MFD_HUGETLB);
  return file.device == plain || file.device == huge;
}

bool LiesBelow(const std::string& path, const std::filesystem::path& folder) {
  return !folder.empty() && path.starts_with(folder.string() + "/") &&
         path.find("/../") == std::string::npos;
}

bool IsInput(const LaunchSession& session, const FileId& file) {
  return std::any_of(
      session.inputs.begin(), session.inputs.end(), [&file](const auto& input) {
        const FileIdentity& identity = input.second.identity;
        return identity.device == file.first && identity.inode == file.second;
      });
}

}  // namespace

std::string FirstUnapprovedFile(const std::vector<OpenFile>& files,
                                const LaunchSession& session,
                                const std::filesystem::path& own) {
  for (const OpenFile& file : files) {
    const FileId id(file.device, file.inode);
    if (file.writable && IsInput(session, id)) {
      return file.path;
    }
    if (!file.write_only && !session.open_files.contains(id) &&
        !IsMemory(file) && !LiesBelow(file.path, own)) {
      return file.path;
    }
  }
  return "";
}

std::string FirstMonitorTaint(const std::vector<std::string>& taints) {
  const auto it =
      std::find_if(taints.begin(), taints.end(), [](const std::string& taint) {
        return taint.find("custom monitor") != std::string::npos;
      });
  return it == taints.end() ? "" : *it;
}

absl::StatusOr<std::vector<std::string>> WithLinksDown(
    std::string_view live_xml) {
  ASSIGN_OR_RETURN(const XmlElement domain, measurement::ParseXml(live_xml));
  std::vector<std::string> down;
  const XmlElement* const devices = domain.Child("devices");
  if (!domain.Is("domain") || devices == nullptr) {
    return down;
  }
  for (const XmlElement& device : devices->children) {
    if (!device.Is("interface")) {
      continue;
    }
    XmlElement changed = device;
    if (changed.Child("link") == nullptr) {
      XmlElement link;
      link.name = "link";
      changed.children.push_back(std::move(link));
    }
    changed.Child("link")->Set("state", "down");
    down.push_back(measurement::WriteXml(changed));
  }
  return down;
}

}  // namespace vmattest::gate
