#include <fmt/format.h>

#include "linuxguest/maple_tree.h"
#include "linuxguest/processes.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostDepth = 64;  // folders
constexpr size_t kMostName = 255;  // NAME_MAX
enum VmFlag : uint64_t { kRead = 1, kWrite = 2, kExec = 4, kShared = 8 };

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

// The names from a dentry up to its file system's root.
absl::StatusOr<std::string> FilePath(Kernel& kernel, uint64_t file) {
  ASSIGN_OR_RETURN(uint64_t dentry, kernel.Get(file, "file", "f_path.dentry"));
  std::string path;
  for (size_t depth = 0; depth < kMostDepth; ++depth) {
    ASSIGN_OR_RETURN(const uint64_t parent,
                     kernel.Get(dentry, "dentry", "d_parent"));
    if (parent == dentry) {
      return path.empty() ? "/" : path;
    }
    ASSIGN_OR_RETURN(const uint64_t text,
                     kernel.Get(dentry, "dentry", "d_name.name"));
    ASSIGN_OR_RETURN(const std::string name,
                     kernel.reader().Text(text, kMostName));
    path = "/" + name + path;
    dentry = parent;
  }
  return absl::DataLossError("a path without end");
}

absl::StatusOr<ProcessMapping> ReadMapping(Kernel& kernel, uint64_t vma,
                                           uint64_t mm) {
  const auto get = [&](const char* field) {
    return kernel.Get(vma, "vm_area_struct", field);
  };
  ASSIGN_OR_RETURN(const uint64_t owner, get("vm_mm"));
  ProcessMapping mapping;
  ASSIGN_OR_RETURN(mapping.begin, get("vm_start"));
  ASSIGN_OR_RETURN(mapping.end, get("vm_end"));
  if (owner != mm || mapping.begin >= mapping.end) {
    return absl::DataLossError("no mapping of this process");
  }
  ASSIGN_OR_RETURN(const uint64_t flags, get("vm_flags"));
  mapping.readable = (flags & kRead) != 0;
  mapping.writable = (flags & kWrite) != 0;
  mapping.executable = (flags & kExec) != 0;
  mapping.shared = (flags & kShared) != 0;
  ASSIGN_OR_RETURN(mapping.file_page, get("vm_pgoff"));
  ASSIGN_OR_RETURN(const uint64_t file, get("vm_file"));
  if (file != 0) {
    ASSIGN_OR_RETURN(mapping.file, FilePath(kernel, file));
  }
  return mapping;
}

}  // namespace

absl::StatusOr<AddressSpace> ReadAddressSpace(Kernel& kernel,
                                              const Process& process) {
  if (process.mm == 0) {
    return absl::NotFoundError(
        fmt::format("process {} has no memory of its own", process.pid));
  }
  AddressSpace space;
  const auto get = [&](const char* field) {
    return kernel.Get(process.mm, "mm_struct", field);
  };
  ASSIGN_OR_RETURN(const uint64_t tables, get("pgd"));
  ASSIGN_OR_RETURN(const uint64_t root, kernel.reader().ToPhysical(tables));
  space.paging = {root, kernel.reader().paging().levels};
  ASSIGN_OR_RETURN(const uint64_t executable, get("exe_file"));
  if (executable != 0) {
    ASSIGN_OR_RETURN(space.executable, FilePath(kernel, executable));
  }
  ASSIGN_OR_RETURN(const Field tree, kernel.btf().Member("mm_struct", "mm_mt"));
  ASSIGN_OR_RETURN(const MapleEntries entries,
                   ReadMapleTree(kernel, process.mm + tree.offset,
                                 kernel.reader().physical().limits().mappings));
  if (!entries.problem.empty()) {
    space.problems.push_back("the tree of mappings: " + entries.problem);
  }
  uint64_t last = 0;
  for (const uint64_t vma : entries.entries) {
    absl::StatusOr<ProcessMapping> mapping =
        ReadMapping(kernel, vma, process.mm);
    if (!mapping.ok() && !IsGuestsDoing(mapping.status())) {
      return mapping.status();
    }
    if (!mapping.ok() || mapping->begin < last) {
      space.problems.push_back(
          fmt::format("the mapping at 0x{:x}: {}", vma,
                      mapping.ok() ? "overlaps the one before"
                                   : std::string(mapping.status().message())));
      continue;
    }
    last = mapping->end;
    space.mappings.push_back(*std::move(mapping));
  }
  return space;
}

}  // namespace vmattest::linuxguest
