#include "measurement/firmware.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

namespace vmattest::measurement {
namespace {

constexpr std::string_view kStorage = "libvirt-pflash0-storage";
constexpr std::string_view kFormat = "libvirt-pflash0-format";
constexpr std::string_view kNvram = "libvirt-pflash1-storage";
constexpr std::string_view kSecure =
    "driver=cfi.pflash01,property=secure,value=on";

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError("QEMU's command line: " +
                                    std::string(what));
}

// Words as libvirt quotes them for a shell: '...', \x outside quotes, and a
// backslash before a line's end that continues it.
absl::StatusOr<std::vector<std::string>> ShellWords(std::string_view command) {
  std::vector<std::string> words;
  bool in_word = false;
  bool quoted = false;
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    const bool space = c == ' ' || c == '\n' || c == '\t';
    if (!quoted && space) {
      in_word = false;
      continue;
    }
    if (!quoted && c == '\\' && i + 1 < command.size() &&
        command[i + 1] == '\n') {
      continue;
    }
    if (!in_word) {
      words.emplace_back();
      in_word = true;
    }
    if (c == '\'') {
      quoted = !quoted;
    } else if (!quoted && c == '\\' && i + 1 < command.size()) {
      words.back() += command[++i];
    } else {
      words.back() += c;
    }
  }
  if (quoted) {
    return Invalid("a quote does not end");
  }
  return words;
}

struct BlockNode {
  std::string name;
  std::string driver;
  std::string file;
  bool read_only = false;
};

std::string Text(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>()
                                                   : std::string();
}

// Of any other -blockdev than libvirt's firmware the node without a name.
BlockNode ParseNode(const std::string& word) {
  BlockNode node;
  if (word.find("libvirt-pflash") == std::string::npos) {
    return node;
  }
  const nlohmann::json json = nlohmann::json::parse(word, nullptr, false);
  if (!json.is_object()) {
    return node;
  }
  node.name = Text(json, "node-name");
  node.driver = Text(json, "driver");
  node.file = Text(json, "filename");
  const auto read_only = json.find("read-only");
  node.read_only = read_only != json.end() && read_only->is_boolean() &&
                   read_only->get<bool>();
  return node;
}

class Command {
 public:
  absl::Status Read(const std::vector<std::string>& words) {
    for (size_t i = 0; i + 1 < words.size(); ++i) {
      const std::string& value = words[i + 1];
      if (words[i] == "-blockdev") {
        RETURN_IF_ERROR(ReadNode(ParseNode(value)));
      } else if (words[i] == "-bios") {
        RETURN_IF_ERROR(Set(rom_, value));
      } else if (words[i] == "-global" && value == kSecure) {
        secure_ = true;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ChosenFirmware> Firmware() && {
    ChosenFirmware firmware{.loader = std::move(storage_),
                            .flash = true,
                            .read_only = read_only_,
                            .secure = secure_,
                            .nvram = std::move(nvram_)};
    if (firmware.loader.empty()) {
      firmware = {};
      firmware.flash = false;
      firmware.loader = std::move(rom_);
    } else if (!rom_.empty() || driver_ != "raw") {
      return Invalid("its firmware is no plain file in flash");
    }
    if (firmware.loader.empty()) {
      return absl::NotFoundError("QEMU's command line names no firmware");
    }
    return firmware;
  }

 private:
  static absl::Status Set(std::string& field, const std::string& value) {
    if (!field.empty()) {
      return Invalid("it names two firmwares");
    }
    field = value;
    return absl::OkStatus();
  }

  absl::Status ReadNode(const BlockNode& node) {
    if (node.name == kStorage && node.driver == "file") {
      return Set(storage_, node.file);
    }
    if (node.name == kNvram && node.driver == "file") {
      return Set(nvram_, node.file);
    }
    if (node.name == kFormat) {
      read_only_ = node.read_only;
      return Set(driver_, node.driver);
    }
    return absl::OkStatus();
  }

  std::string storage_;
  std::string driver_;
  std::string nvram_;
  std::string rom_;
  bool read_only_ = false;
  bool secure_ = false;
};

XmlElement& ChildOf(XmlElement& parent, std::string_view name) {
  if (XmlElement* child = parent.Child(name); child != nullptr) {
    return *child;
  }
  parent.children.push_back({"", std::string(name), {}, {}, {}, parent.line});
  return parent.children.back();
}

bool NamesNoFile(const XmlElement& nvram) {
  return nvram.Text().empty() && nvram.Child("source") == nullptr;
}

}  // namespace

bool LeavesFirmwareOpen(const XmlElement& os) {
  const XmlElement* loader = os.Child("loader");
  return !os.Get("firmware").empty() &&
         (loader == nullptr || loader->Text().empty());
}

absl::StatusOr<std::optional<std::string>> FirmwareQuestion(
    std::string_view xml) {
  // What libvirt's choice looks at, and what a definition must have.
  constexpr std::array<std::string_view, 8> kKept = {
      "name", "uuid",     "memory",         "vcpu",
      "os",   "features", "launchSecurity", "devices"};
  ASSIGN_OR_RETURN(XmlElement domain, ParseXml(xml));
  const XmlElement* os = domain.Child("os");
  if (os == nullptr || !LeavesFirmwareOpen(*os)) {
    return std::nullopt;
  }
  std::erase_if(domain.children, [&kKept](const XmlElement& child) {
    return std::none_of(
        kKept.begin(), kKept.end(),
        [&child](std::string_view kept) { return child.Is(kept); });
  });
  if (XmlElement* devices = domain.Child("devices"); devices != nullptr) {
    std::erase_if(devices->children, [](const XmlElement& device) {
      return !device.Is("emulator");
    });
  }
  return WriteXml(domain);
}

absl::StatusOr<ChosenFirmware> FirmwareOfCommand(std::string_view command) {
  if (command.size() > kMaxXmlSize) {
    return Invalid("it is too long");
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> words, ShellWords(command));
  Command read;
  RETURN_IF_ERROR(read.Read(words));
  return std::move(read).Firmware();
}

absl::StatusOr<std::string> WithFirmware(std::string_view xml,
                                         const ChosenFirmware& firmware) {
  ASSIGN_OR_RETURN(XmlElement domain, ParseXml(xml));
  XmlElement* os = domain.Child("os");
  if (os == nullptr || !LeavesFirmwareOpen(*os)) {
    return std::string(xml);
  }
  XmlElement& loader = ChildOf(*os, "loader");
  loader.texts = {{0, firmware.loader}};
  loader.Set("type", firmware.flash ? "pflash" : "rom");
  if (firmware.read_only) {
    loader.Set("readonly", "yes");
  }
  if (firmware.secure) {
    loader.Set("secure", "yes");
  }
  if (!firmware.nvram.empty()) {
    if (XmlElement& nvram = ChildOf(*os, "nvram"); NamesNoFile(nvram)) {
      nvram.texts = {{0, firmware.nvram}};
    }
  }
  return WriteXml(domain);
}

}  // namespace vmattest::measurement
