#include "unit/disk/disk_images.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <stdexcept>

#include "support/run_command.h"
#include "support/vectors.h"

namespace vmattest::testing {
namespace fs = std::filesystem;

std::string DiskImages::Run(const std::vector<std::string>& words) {
  auto output = RunCommand(words);
  if (!output.ok()) {
    throw std::runtime_error(fmt::format("{}: {}", fmt::join(words, " "),
                                         output.status().ToString()));
  }
  return *std::move(output);
}

std::string DiskImages::MakeFolder(const std::string& name,
                                   const Files& files) {
  constexpr std::string_view kLink = "-> ";
  const fs::path root = dir_.path() / name;
  fs::create_directories(root);
  for (const auto& [path, content] : files) {
    const fs::path target = root / path;
    if (path.ends_with('/')) {
      fs::create_directories(target);
      continue;
    }
    fs::create_directories(target.parent_path());
    if (content.starts_with(kLink)) {
      fs::create_symlink(content.substr(kLink.size()), target);
    } else {
      std::ofstream(target, std::ios::binary) << content;
    }
  }
  return root.string();
}

std::string DiskImages::MakeEmpty(const std::string& name, uint64_t size) {
  const std::string path = Path(name);
  std::ofstream(path, std::ios::binary).flush();
  fs::resize_file(path, size);
  return path;
}

std::string DiskImages::MakeExt(const std::string& name,
                                const std::string& folder, uint64_t size,
                                const std::vector<std::string>& words) {
  std::string path = MakeEmpty(name, size);
  std::vector<std::string> all = {"mke2fs", "-q", "-F", "-d", folder};
  all.insert(all.end(), words.begin(), words.end());
  all.push_back(path);
  Run(all);
  return path;
}

std::string DiskImages::MakeVfat(const std::string& name, const Files& files,
                                 uint64_t size,
                                 const std::vector<std::string>& words) {
  std::string path = MakeEmpty(name, size);
  std::vector<std::string> all = {"mkfs.vfat"};
  all.insert(all.end(), words.begin(), words.end());
  all.push_back(path);
  Run(all);
  const std::string folder = MakeFolder(name + ".files", files);
  for (const auto& entry : fs::directory_iterator(folder)) {
    Run({"mcopy", "-s", "-i", path, entry.path().string(), "::"});
  }
  return path;
}

void DiskImages::Insert(const std::string& whole, uint64_t offset,
                        const std::string& part) {
  WriteAt(whole, offset, Slurp(part));
}

void DiskImages::WriteAt(const std::string& file, uint64_t offset,
                         std::string_view bytes) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) {
    throw std::runtime_error("cannot write " + file);
  }
}

std::unique_ptr<disk::FileBlockSource> OpenRaw(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    throw std::runtime_error("cannot open " + path);
  }
  return std::make_unique<disk::FileBlockSource>(std::move(fd),
                                                 fs::file_size(path));
}

QemuNbd::QemuNbd(const std::string& image, const std::string& format) {
  const fs::path pid_file = dir_.path() / "pid";
  // It forks once it listens. Relative data files are sought where it runs.
  DiskImages::Run({"env", "-C", fs::path(image).parent_path().string(),
                   "qemu-nbd", "--fork", "--pid-file=" + pid_file.string(),
                   "-r", "-t", "-e", "4", "-f", format, "-k",
                   (dir_.path() / "nbd").string(), image});
  std::ifstream(pid_file) >> pid_;
}

QemuNbd::~QemuNbd() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
  }
}

UniqueFd QemuNbd::Connect() const {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (dir_.path() / "nbd").string();
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to " + path);
  }
  return fd;
}

std::unique_ptr<disk::NbdBlockSource> QemuNbd::Open() const {
  auto source = disk::NbdBlockSource::Connect(Connect(), "");
  if (!source.ok()) {
    throw std::runtime_error(source.status().ToString());
  }
  return *std::move(source);
}

std::map<std::string, std::string> ByPath(
    const std::vector<ConfigLeaf>& leaves) {
  std::map<std::string, std::string> by_path;
  for (const ConfigLeaf& leaf : leaves) {
    by_path[leaf.path] = fmt::format("{} {}", ToString(leaf.type), leaf.value);
  }
  return by_path;
}

}  // namespace vmattest::testing
