#include "gate/policy_store.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "document/key_files.h"
#include "gate/approvers.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxUsed = 8u << 20;
constexpr size_t kSerialSize = 16;
constexpr char kUsed[] = "used";

absl::Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? ErrnoStatus(error.value(), folder.string()) : absl::OkStatus();
}

void SayLeftOut(const fs::path& file, std::string_view why) {
  log::Warning("a policy document was left out",
               {{"file", file.string()}, {"why", std::string(why)}});
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

// Whether the order is for this VM and host and holds now; else why not.
std::string WhyNotFor(const v1::BreakGlassOrder& order,
                      const std::string& vm_uuid, const std::string& host_id,
                      WallTime now) {
  const int64_t at = now.time_since_epoch().count();
  if (order.header().version() != 1) {
    return "of another version";
  }
  if (Lower(order.vm_uuid()) != vm_uuid) {
    return "for another VM";
  }
  if (order.host_id().empty() || Lower(order.host_id()) != host_id) {
    return "for another host";
  }
  if (order.serial().size() != kSerialSize) {
    return "its serial is not 16 bytes";
  }
  if (at < order.header().not_before_unix_ms() ||
      at > order.header().not_after_unix_ms()) {
    return "not valid now";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyStore>> PolicyStore::Open(
    Options options) {
  std::unique_ptr<PolicyStore> store(new PolicyStore(std::move(options)));
  RETURN_IF_ERROR(MakeFolder(store->options_.folder / "policy"));
  RETURN_IF_ERROR(MakeFolder(store->options_.folder / "break-glass"));
  ASSIGN_OR_RETURN_WITH(store->approvers_,
                        document::LoadKeysIfAny(store->options_.approvers),
                        "gate.approvers");
  RETURN_IF_ERROR(store->Load());
  return store;
}

absl::Status PolicyStore::Load() {
  const fs::path folder = options_.folder / "policy";
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesIn(folder));
  const MutexLock lock(mutex_);
  for (const fs::path& file : files) {
    if (file.extension() != ".document") {
      continue;
    }
    ASSIGN_OR_RETURN(const Bytes bytes,
                     ReadFile(file, document::kMaxDocumentSize));
    absl::StatusOr<reference::Reference> reference =
        OpenReference(bytes, approvers_);
    if (!reference.ok()) {
      SayLeftOut(file, std::string(reference.status().message()));
    } else if (IsNewer(*reference)) {
      Keep(*std::move(reference));
    }
  }
  if (const auto epoch = ReadFile(folder / "epoch", 64); epoch.ok()) {
    const std::string_view text = AsText(*epoch);
    std::from_chars(text.data(), text.data() + text.size(), epoch_);
  }
  const fs::path used = options_.folder / "break-glass" / kUsed;
  const absl::StatusOr<Bytes> serials = ReadFile(used, kMaxUsed);
  if (!serials.ok()) {
    return absl::IsNotFound(serials.status()) ? absl::OkStatus()
                                              : serials.status();
  }
  const std::string_view text = AsText(*serials);
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find('\n', from), text.size());
    used_.emplace(text.substr(from, end - from));
    from = end + 1;
  }
  return absl::OkStatus();
}

bool PolicyStore::IsNewer(const reference::Reference& reference) const {
  return std::none_of(kept_.begin(), kept_.end(),
                      [&reference](const reference::Reference& kept) {
                        return kept.name == reference.name &&
                               kept.revision >= reference.revision;
                      });
}

void PolicyStore::Keep(reference::Reference reference) {
  std::erase_if(kept_, [&reference](const reference::Reference& kept) {
    return kept.name == reference.name;
  });
  kept_.push_back(std::move(reference));
}

PolicyStore::Effective PolicyStore::For(const std::string& vm_uuid,
                                        WallTime now) const {
  const MutexLock lock(mutex_);
  Effective effective;
  effective.mode = options_.default_mode;
  effective.revocation_epoch = epoch_;
  effective.strict_start = options_.strict_start;
  if (const reference::Reference* chosen =
          reference::Select(kept_, vm_uuid, now);
      chosen != nullptr) {
    effective.mode = chosen->mode;
    effective.strict_start = effective.strict_start || chosen->strict_start;
    effective.reference = *chosen;
  }
  return effective;
}

absl::StatusOr<size_t> PolicyStore::Take(
    const LaunchVerifier::HostPolicy& policy, WallTime now) {
  // First what takes something away.
  RETURN_IF_ERROR(RaiseEpoch(policy.revocation_epoch));
  size_t taken = 0;
  const fs::path folder = options_.folder / "policy";
  for (const Bytes& bytes : policy.references) {
    absl::StatusOr<reference::Reference> reference =
        OpenReference(bytes, approvers_);
    if (!reference.ok()) {
      SayLeftOut("of the verifier", std::string(reference.status().message()));
      continue;
    }
    const MutexLock lock(mutex_);
    if (!IsNewer(*reference)) {
      continue;
    }
    RETURN_IF_ERROR(
        WriteFileAtomic(folder / (reference->name + ".document"), bytes, 0600));
    Keep(*std::move(reference));
    ++taken;
  }
  for (const Bytes& bytes : policy.break_glass) {
    ASSIGN_OR_RETURN(const bool is_new, TakeOrder(bytes, now));
    taken += is_new ? 1 : 0;
  }
  return taken;
}

absl::Status PolicyStore::RaiseEpoch(uint64_t epoch) {
  const MutexLock lock(mutex_);
  if (epoch > epoch_) {
    RETURN_IF_ERROR(WriteFileAtomic(options_.folder / "policy" / "epoch",
                                    AsBytes(std::to_string(epoch)), 0600));
    epoch_ = epoch;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> PolicyStore::TakeOrder(ByteView bytes, WallTime now) {
  const document::Opened opened =
      document::Open(bytes, document::kBreakGlassPayloadType, approvers_);
  v1::BreakGlassOrder order;
  if (!opened.verdict.trusted() ||
      !order.ParseFromArray(opened.payload.data(),
                            static_cast<int>(opened.payload.size())) ||
      order.serial().size() != kSerialSize) {
    SayLeftOut("of the verifier", opened.verdict.trusted()
                                      ? "malformed"
                                      : WhyNotTrusted(opened.verdict));
    return false;
  }
  const std::string serial = ToHex(AsBytes(order.serial()));
  const fs::path file = options_.folder / "break-glass" / (serial + ".order");
  const MutexLock lock(mutex_);
  std::error_code ignored;
  if (used_.contains(serial) || fs::exists(file, ignored) ||
      now.time_since_epoch().count() > order.header().not_after_unix_ms()) {
    return false;
  }
  RETURN_IF_ERROR(WriteFileAtomic(file, bytes, 0600));
  return true;
}

absl::StatusOr<PolicyStore::BreakGlass> PolicyStore::UseBreakGlass(
    const std::string& vm_uuid, const std::string& host_id, WallTime now) {
  const fs::path folder = options_.folder / "break-glass";
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesIn(folder));
  const MutexLock lock(mutex_);
  for (const fs::path& file : files) {
    if (file.filename() == kUsed) {
      continue;
    }
    const absl::StatusOr<Bytes> bytes =
        ReadFile(file, document::kMaxDocumentSize);
    if (!bytes.ok()) {
      continue;
    }
    const document::Opened opened =
        document::Open(*bytes, document::kBreakGlassPayloadType, approvers_);
    v1::BreakGlassOrder order;
    if (!opened.verdict.trusted() ||
        !order.ParseFromArray(opened.payload.data(),
                              static_cast<int>(opened.payload.size()))) {
      SayLeftOut(file, WhyNotTrusted(opened.verdict));
      continue;
    }
    const std::string serial = ToHex(AsBytes(order.serial()));
    if (!WhyNotFor(order, vm_uuid, host_id, now).empty() ||
        used_.contains(serial)) {
      continue;
    }
    std::string all = serial + "\n";
    for (const std::string& before : used_) {
      all += before + "\n";
    }
    RETURN_IF_ERROR_WITH(WriteFileAtomic(folder / kUsed, AsBytes(all), 0600),
                         "using up a break-glass order");
    used_.insert(serial);
    return BreakGlass{order.reason(), serial, opened.signer->name};
  }
  return absl::NotFoundError("no break-glass order");
}

}  // namespace vmattest::gate
