#include "worker/memory/code_check.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "linuxguest/decompress.h"
#include "linuxguest/module_image.h"
#include "linuxguest/rodata_check.h"
#include "linuxguest/system_map.h"
#include "linuxguest/text_check.h"

namespace vmattest::worker {
namespace {

using linuxguest::AddressNames;
using linuxguest::CodeRanges;
using linuxguest::Kernel;
using linuxguest::Module;
using linuxguest::Modules;
using linuxguest::TextCheck;

constexpr size_t kMostNamed = 8;
// Of all modules: one that is damaged costs as much as the largest.
constexpr uint64_t kMaxUnpacked = uint64_t{1} << 30;
constexpr const char* kNoFile = "the host has no file of it";

std::string Unavailable(std::string_view why) {
  return fmt::format("unavailable: {}", why);
}

class CodeChecker {
 public:
  CodeChecker(Kernel& kernel, const Modules& modules, const CodeFiles& files)
      : kernel_(kernel), modules_(modules), files_(files) {}

  absl::StatusOr<CodeCheck> Run() {
    const absl::StatusOr<Bytes> kernel = Take(CheckKernel());
    if (absl::IsUnavailable(kernel.status())) {
      return kernel.status();
    }
    Add("code/kernel", kernel);
    const absl::StatusOr<Bytes> rodata = CheckRodata(kernel.status());
    if (absl::IsUnavailable(rodata.status())) {
      return rodata.status();
    }
    Add("code/rodata", rodata);
    CheckSymbols();
    RETURN_IF_ERROR(CheckModules(kernel.ok()));
    if (!kernel.ok()) {
      out_.state = Unavailable(std::string(kernel.status().message()));
      return std::move(out_);
    }
    out_.hash = linuxguest::CodeHash(*kernel, hashes_);
    out_.state =
        without_.empty()
            ? "measured"
            : fmt::format(
                  "kernel: its text and that of {} modules; without {}: "
                  "{}{}",
                  hashes_.size(), without_.size(),
                  fmt::join(
                      without_.begin(),
                      without_.begin() + static_cast<ptrdiff_t>(std::min(
                                             without_.size(), kMostNamed)),
                      ", "),
                  without_.size() > kMostNamed ? " ..." : "");
    return std::move(out_);
  }

 private:
  absl::StatusOr<TextCheck> CheckKernel() {
    RETURN_IF_ERROR(files_.kernel.status());
    ASSIGN_OR_RETURN(image_, linuxguest::KernelImage::Parse(*files_.kernel));
    ASSIGN_OR_RETURN(names_, AddressNames::Make(kernel_, modules_));
    ASSIGN_OR_RETURN(ranges_,
                     linuxguest::ReadCodeRanges(kernel_, modules_, *names_));
    return linuxguest::CheckKernelText(kernel_, *names_, *ranges_, *image_);
  }

  absl::StatusOr<Bytes> CheckRodata(const absl::Status& kernel) {
    RETURN_IF_ERROR(kernel);
    ASSIGN_OR_RETURN(linuxguest::RodataCheck check,
                     linuxguest::CheckKernelRodata(kernel_, *names_, *image_));
    std::move(check.findings.begin(), check.findings.end(),
              std::back_inserter(out_.findings));
    return std::move(check.hash);
  }

  void CheckSymbols() {
    if (files_.system_map.empty()) {
      return;
    }
    absl::StatusOr<linuxguest::Findings> found = [&] {
      const auto map = linuxguest::SystemMap::Parse(AsText(files_.system_map),
                                                    linuxguest::Limits());
      return map.ok() ? linuxguest::CheckSymbols(kernel_, *map)
                      : absl::StatusOr<linuxguest::Findings>(map.status());
    }();
    out_.records.push_back(
        {"code/symbols",
         !found.ok()      ? Unavailable(std::string(found.status().message()))
         : found->empty() ? "as System.map"
                          : "not as System.map"});
    if (found.ok()) {
      std::move(found->begin(), found->end(),
                std::back_inserter(out_.findings));
    }
  }

  // Its findings are all there is; its hash.
  absl::StatusOr<Bytes> Take(absl::StatusOr<TextCheck> check) {
    RETURN_IF_ERROR(check.status());
    std::move(check->findings.begin(), check->findings.end(),
              std::back_inserter(out_.findings));
    return std::move(check->code_hash);
  }

  void Add(std::string name, const absl::StatusOr<Bytes>& hash) {
    out_.records.push_back(
        {std::move(name),
         hash.ok() ? ToHex(*hash)
                   : Unavailable(std::string(hash.status().message()))});
  }

  absl::StatusOr<Bytes> CheckModule(const Module& module) {
    const auto file = files_.modules.find(module.name);
    if (file == files_.modules.end()) {
      return absl::NotFoundError(kNoFile);
    }
    RETURN_IF_ERROR(file->second.status());
    const uint64_t most = std::min(linuxguest::kMaxModuleBytes, left_);
    const absl::StatusOr<Bytes> content =
        linuxguest::DecompressModule(*file->second, most);
    left_ -= content.ok() ? content->size() : most;
    RETURN_IF_ERROR(content.status());
    absl::StatusOr<TextCheck> check = linuxguest::CheckModuleText(
        kernel_, modules_, module, *names_, *ranges_, *content);
    if (check.ok()) {
      out_.records.push_back({fmt::format("code/module/{}/rodata", module.name),
                              ToHex(check->rodata_hash)});
    }
    return Take(std::move(check));
  }

  // What a module imports is looked up in the kernel's symbols, so these must
  // have been compared.
  absl::Status CheckModules(bool kernel) {
    for (const Module& module : modules_.modules) {
      if (!module.live) {
        without_.push_back(module.name);
        continue;
      }
      const absl::StatusOr<Bytes> hash =
          kernel
              ? CheckModule(module)
              : absl::FailedPreconditionError("the kernel's text is not known");
      if (absl::IsUnavailable(hash.status())) {
        return hash.status();
      }
      Add("code/module/" + module.name, hash);
      if (hash.ok()) {
        hashes_[module.name] = *hash;
      } else {
        without_.push_back(module.name);
      }
    }
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const Modules& modules_;
  const CodeFiles& files_;
  std::optional<linuxguest::KernelImage> image_;
  std::optional<AddressNames> names_;
  std::optional<CodeRanges> ranges_;
  std::map<std::string, Bytes> hashes_;
  std::vector<std::string> without_;
  uint64_t left_ = kMaxUnpacked;
  CodeCheck out_;
};

}  // namespace

absl::StatusOr<CodeCheck> CheckCode(Kernel& kernel, const Modules& modules,
                                    const CodeFiles& files) {
  return CodeChecker(kernel, modules, files).Run();
}

}  // namespace vmattest::worker
