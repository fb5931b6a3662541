#include "hook/saved_memory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <system_error>
#include <utility>

#include "gate/protocol/save_image_header.h"

namespace vmattest::hook {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostImages = gate::kMaxHanded - 2;
constexpr size_t kMostDescriptors = 65536;

// Never waits, as opening a FIFO or a device might.
std::shared_ptr<const UniqueFd> OpenRegular(const fs::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return nullptr;
  }
  auto file = std::make_shared<const UniqueFd>(
      open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file->valid() || fstat(file->get(), &status) != 0 ||
      !S_ISREG(status.st_mode)) {
    return nullptr;
  }
  return file;
}

void AddImage(const fs::path& path, const std::string& shown,
              const std::string& uuid, std::vector<gate::HandedFile>& found) {
  std::shared_ptr<const UniqueFd> file = OpenRegular(path);
  if (file == nullptr) {
    return;
  }
  const auto header = gate::ReadSaveImageHeader(file->get());
  if (header && header->vm_uuid == uuid) {
    found.push_back({std::string(gate::kSavedImage), shown, std::move(file)});
  }
}

void AddOpenImages(const fs::path& process, const std::string& uuid,
                   std::vector<gate::HandedFile>& found) {
  std::error_code error;
  fs::directory_iterator entries(process / "fd", error);
  for (size_t seen = 0; !error && entries != fs::directory_iterator() &&
                        seen < kMostDescriptors && found.size() < kMostImages;
       entries.increment(error), ++seen) {
    std::error_code gone;
    const fs::path shown = fs::read_symlink(entries->path(), gone);
    if (!gone && shown.is_absolute()) {  // no socket, pipe, eventfd
      AddImage(entries->path(), shown.string(), uuid, found);
    }
  }
}

void AddVtpmState(const fs::path& folder, const std::string& uuid,
                  std::vector<gate::HandedFile>& found) {
  for (const char* file : {"tpm2/tpm2-00.permall", "tpm1.2/tpm-00.permall"}) {
    const fs::path path = folder / uuid / file;
    if (std::shared_ptr<const UniqueFd> state = OpenRegular(path);
        state != nullptr) {
      found.push_back(
          {std::string(gate::kVtpmState), path.string(), std::move(state)});
      return;
    }
  }
}

}  // namespace

std::vector<gate::HandedFile> FindSavedMemory(const gate::GateCall& call,
                                              const SavedMemoryPlaces& places) {
  std::vector<gate::HandedFile> found;
  const bool ended = call.operation == "release";
  if (!ended && call.operation != "restore" && call.operation != "prepare" &&
      call.operation != "started") {
    return found;
  }
  const std::string uuid = gate::FirstUuid(call.xml);
  if (uuid.empty() || call.domain.find('/') != std::string::npos) {
    return found;
  }
  if (ended) {
    const fs::path managed = places.save / (call.domain + ".save");
    AddImage(managed, managed.string(), uuid, found);
  } else {
    AddOpenImages(places.libvirtd, uuid, found);
  }
  AddVtpmState(places.swtpm, uuid, found);
  return found;
}

}  // namespace vmattest::hook
