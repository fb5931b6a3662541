#include "cli/measure_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/secret_bytes.h"
#include "cli/exit_code.h"
#include "cli/local_inspector.h"
#include "evidence/config_tree.h"
#include "image/digest_cache.h"
#include "image/file_digester.h"
#include "measurement/domain_measurer.h"
#include "measurement/firmware.h"
#include "measurement/live_xml.h"
#include "measurement/xml_element.h"

namespace vmattest::cli {
namespace {

using measurement::ContentPolicy;
using measurement::DomainMeasurement;
using measurement::DomainMeasurer;
using measurement::MeasureOptions;

constexpr size_t kMaxQueued = 64;
constexpr size_t kVmSaltSize = 32;
constexpr size_t kMaxSaltFile = 256;

absl::StatusOr<std::string> ReadXml(const std::string& path) {
  if (path != "-") {
    ASSIGN_OR_RETURN(const Bytes bytes,
                     ReadFile(path, measurement::kMaxXmlSize));
    return std::string(AsText(bytes));
  }
  // One byte more than is allowed shows that there is too much.
  std::string xml(measurement::kMaxXmlSize + 1, '\0');
  std::cin.read(xml.data(), static_cast<std::streamsize>(xml.size()));
  xml.resize(static_cast<size_t>(std::cin.gcount()));
  return xml;
}

absl::StatusOr<SecretBytes> ReadSalt(const std::string& path) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, kMaxSaltFile));
  SecretBytes content(std::move(bytes));
  if (content.size() == kVmSaltSize) {
    return content;
  }
  const std::string_view text = AsText(content.Reveal(SecretAccess()));
  const size_t end = text.find_last_not_of(" \t\r\n");
  absl::StatusOr<Bytes> parsed =
      ParseHex(text.substr(0, end == std::string_view::npos ? 0 : end + 1));
  SecretBytes salt(parsed.ok() ? *std::move(parsed) : Bytes());
  if (salt.size() != kVmSaltSize) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not {} bytes, nor that in hex", path, kVmSaltSize));
  }
  return salt;
}

absl::StatusOr<MeasureOptions> ParseOptions(const MeasureArgs& args) {
  MeasureOptions options;
  ASSIGN_OR_RETURN_WITH(options.content,
                        measurement::ParseContentPolicy(args.content),
                        "--content");
  ASSIGN_OR_RETURN_WITH(options.inside,
                        inspection::ParseInsidePolicy(args.inside), "--inside");
  const std::optional<HashAlgorithm> algorithm =
      ParseHashAlgorithm(args.algorithm);
  if (!algorithm) {
    return absl::InvalidArgumentError(
        fmt::format("--hash: '{}' is no algorithm: sha256, sha384, sha512, "
                    "sha3-256 or blake3",
                    args.algorithm));
  }
  options.algorithm = *algorithm;
  if (!args.salt_path.empty()) {
    ASSIGN_OR_RETURN_WITH(SecretBytes salt, ReadSalt(args.salt_path), "--salt");
    options.vm_salt = std::make_shared<const SecretBytes>(std::move(salt));
  }
  return options;
}

// The XML that is measured: of a running domain as it was defined, if its
// definition is given, of a stopped one with the firmware that it would have.
absl::StatusOr<std::string> LoadXml(const MeasureArgs& args) {
  ASSIGN_OR_RETURN(std::string xml, ReadXml(args.xml_path));
  if (!args.defined_xml_path.empty()) {
    ASSIGN_OR_RETURN(const std::string defined, ReadXml(args.defined_xml_path));
    ASSIGN_OR_RETURN(xml, measurement::AsDefined(xml, defined));
  }
  if (args.start_command_path.empty()) {
    return xml;
  }
  ASSIGN_OR_RETURN(const std::string command, ReadXml(args.start_command_path));
  ASSIGN_OR_RETURN_WITH(const measurement::ChosenFirmware firmware,
                        measurement::FirmwareOfCommand(command),
                        args.start_command_path);
  return measurement::WithFirmware(xml, firmware);
}

// One line that is rewritten, at most once for each percent.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream& err) : err_(err) {}
  ~ProgressLine() {
    if (shown_ >= 0) {
      err_ << '\n';
    }
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(uint64_t done, uint64_t total) {
    const int percent =
        total == 0 ? 100 : static_cast<int>(done * 100.0 / total);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (percent != shown_) {
      shown_ = percent;
      err_ << fmt::format("\rreading content: {:3} % of {} MiB", percent,
                          total >> 20U)
           << std::flush;
    }
  }

 private:
  std::ostream& err_;
  std::mutex mutex_;
  int shown_ = -1;
};

std::string Printable(std::string_view value) {
  std::string printable;
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      printable += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      printable += c;
    }
  }
  return printable;
}

void PrintJson(const DomainMeasurement& measured, const MeasureArgs& args,
               const MeasureOptions& options, std::ostream& out) {
  nlohmann::ordered_json json;
  json["root"] = ToHex(measured.tree.root);
  json["algorithm"] = ToString(measured.tree.algorithm);
  json["schema"] = kConfigSchemaVersion;
  if (options.vm_salt != nullptr) {
    json["salt_id"] = evidence::SaltId(*options.vm_salt);
  }
  json["name"] = measured.name;
  json["uuid"] = measured.uuid;
  json["content"] = args.content;
  json["inside"] = args.inside;
  json["validity"] = "not-checked";
  json["warnings"] = measured.warnings;
  json["leaves"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < measured.tree.leaves.size(); ++i) {
    const ConfigLeaf& leaf = measured.tree.leaves[i];
    json["leaves"].push_back({{"path", leaf.path},
                              {"type", ToString(leaf.type)},
                              {"value", leaf.value},
                              {"digest", ToHex(measured.tree.digests[i])}});
  }
  for (const ConfigSubtree& subtree : measured.tree.subtrees) {
    nlohmann::ordered_json leaves = nlohmann::ordered_json::array();
    for (const ConfigLeaf& leaf : subtree.leaves) {
      leaves.push_back({{"path", leaf.path},
                        {"type", ToString(leaf.type)},
                        {"value", leaf.value}});
    }
    json["subtrees"].push_back(
        {{"path", subtree.path}, {"leaves", std::move(leaves)}});
  }
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
      << '\n';
}

void PrintTable(const DomainMeasurement& measured, std::ostream& out) {
  constexpr size_t kWidest = 48;
  size_t width = 0;
  const std::vector<ConfigLeaf> leaves =
      evidence::Flatten(measured.tree.leaves, measured.tree.subtrees);
  for (const ConfigLeaf& leaf : leaves) {
    width = std::max(width, std::min(leaf.path.size(), kWidest));
  }
  for (const ConfigLeaf& leaf : leaves) {
    out << fmt::format("{:{}}  {:11}  {}\n", leaf.path, width,
                       ToString(leaf.type), Printable(leaf.value));
  }
  out << fmt::format("root  {}:{}\n", ToString(measured.tree.algorithm),
                     ToHex(measured.tree.root));
}

}  // namespace

int RunMeasure(const MeasureArgs& args, std::ostream& out, std::ostream& err) {
  const auto fail = [&err](const absl::Status& status, int code) {
    err << "vmattest measure: " << std::string(status.message()) << '\n';
    return code;
  };
  absl::StatusOr<MeasureOptions> options = ParseOptions(args);
  if (!options.ok()) {
    return fail(options.status(), kExitUsage);
  }
  const absl::StatusOr<std::string> xml = LoadXml(args);
  if (!xml.ok()) {
    return fail(xml.status(), kExitUsage);
  }
  const SystemClock clock;
  image::DigestCache cache(clock, {.enabled = false});
  const size_t cores = std::max(1U, std::thread::hardware_concurrency());
  ThreadPool hashing("hashing", cores, kMaxQueued);
  ThreadPool work("work", cores, kMaxQueued);
  image::FileDigester digester(clock, hashing, cache);
  std::unique_ptr<LocalInspector> inspector;
  if (options->inside != inspection::InsidePolicy::kNone) {
    absl::StatusOr<std::unique_ptr<LocalInspector>> made =
        LocalInspector::Make(args.worker);
    if (!made.ok()) {
      return fail(Annotate(made.status(), "--inside, --worker"),
                  kExitUndecided);
    }
    inspector = *std::move(made);
  }
  DomainMeasurer measurer(digester, &work, inspector.get());
  // First without content: what fails here is the XML.
  MeasureOptions without_content = *options;
  without_content.content = ContentPolicy::kNone;
  without_content.inside = inspection::InsidePolicy::kNone;
  absl::StatusOr<DomainMeasurement> measured =
      measurer.Measure(*xml, without_content);
  if (!measured.ok()) {
    return fail(Annotate(measured.status(), args.xml_path), kExitUsage);
  }
  if (options->content != ContentPolicy::kNone || inspector != nullptr) {
    ProgressLine line(err);
    if (!args.quiet && &err == &std::cerr && isatty(STDERR_FILENO) != 0) {
      options->progress = [&line](uint64_t done, uint64_t total) {
        line.Show(done, total);
      };
    }
    measured = measurer.Measure(*xml, *options);
  }
  if (!measured.ok()) {
    return fail(measured.status(), kExitUndecided);
  }
  for (const std::string& warning : measured->warnings) {
    if (!args.quiet) {
      err << "warning: " << warning << '\n';
    }
  }
  args.json ? PrintJson(*measured, args, *options, out)
            : PrintTable(*measured, out);
  return kExitGood;
}

}  // namespace vmattest::cli
