#include "signing/pq_keys.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/file.h"
#include "fmt/format.h"
#include "signing/seed_file.h"
#include "wire/seal_approval.h"

namespace vmattest::signing {
namespace {

using evidence::SealApproval;
using evidence::SealAuthority;

constexpr std::string_view kSeedSuffix = ".seed";
constexpr std::string_view kApprovalSuffix = ".json";
constexpr size_t kMaxApprovalFiles = 256;
constexpr mode_t kSecretFile = 0600;
constexpr mode_t kSecretFolder = 0700;

bool IsTheTpms(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

absl::Status MakeFolder(const std::filesystem::path& folder) {
  if (mkdir(folder.c_str(), kSecretFolder) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, fmt::format("making {}", folder.string()));
  }
  return absl::OkStatus();
}

// Paths of the files in `folder` that end so; none if it is not there.
absl::StatusOr<std::vector<std::filesystem::path>> FilesIn(
    const std::filesystem::path& folder, std::string_view suffix) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == suffix) {
      files.push_back(entry->path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(),
                       fmt::format("listing {}", folder.string()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string SeedName(const evidence::PqKey& key) {
  return fmt::format("{}-{}-{}{}", ToString(key.purpose), key.epoch,
                     key.algorithm, kSeedSuffix);
}

std::vector<PqKeyId> ActiveOf(const std::vector<tpm::KeyEpoch>& keys) {
  std::vector<PqKeyId> active;
  for (const tpm::KeyEpoch& key : keys) {
    if (key.state == tpm::KeyEpoch::State::kActive) {
      active.emplace_back(key.certification.purpose, key.certification.epoch);
    }
  }
  return active;
}

absl::StatusOr<std::string> ApprovalName(const SealApproval& approval) {
  ASSIGN_OR_RETURN(const DigestBytes policy,
                   evidence::ApprovedPolicy(approval));
  return fmt::format("{}{}", ToHex(policy), kApprovalSuffix);
}

}  // namespace

std::string_view ToString(PqState state) {
  switch (state) {
    case PqState::kOff:
      return "off";
    case PqState::kUnavailable:
      return "unavailable";
    case PqState::kUnapprovedBoot:
      return "unapproved-boot";
    case PqState::kUnsealed:
      return "unsealed";
  }
  return "unknown";
}

PqKeys::PqKeys(tpm::HostTpm& tpm, std::filesystem::path folder,
               PqOptions options)
    : tpm_(tpm), folder_(std::move(folder)), options_(std::move(options)) {
  Publish(options_.mode == PqMode::kOff ? PqState::kOff : PqState::kUnavailable,
          options_.mode == PqMode::kOff ? "" : "the TPM was not reached yet");
}

std::shared_ptr<const PqView> PqKeys::view() const {
  const MutexLock lock(mutex_);
  return view_;
}

void PqKeys::Publish(PqState state, std::string detail) {
  auto view = std::make_shared<PqView>();
  view->state = state;
  view->detail = std::move(detail);
  view->authority = authority_;
  view->signers = signers_;
  for (const auto& [id, seed] : seeds_) {
    view->keys.push_back(seed.key);
  }
  for (const auto& [name, approvals] : approvals_) {
    view->approvals += approvals.size();
  }
  const MutexLock lock(mutex_);
  view_ = std::move(view);
}

absl::Status PqKeys::Settle(PqState state, const absl::Status& why) {
  Publish(state, std::string(why.message()));
  return IsTheTpms(why) ? why : absl::OkStatus();
}

absl::Status PqKeys::Refresh(const std::string& host_id,
                             const std::vector<tpm::KeyEpoch>& keys) {
  if (const absl::Status loaded = Load(); !loaded.ok()) {
    Publish(PqState::kUnavailable, std::string(loaded.message()));
    return absl::OkStatus();
  }
  if (options_.mode == PqMode::kOff) {
    Publish(PqState::kOff, "");
    return absl::OkStatus();
  }
  if (const auto provider = MlDsaProvider::Open(options_.module);
      !provider.ok()) {
    Publish(PqState::kUnavailable, std::string(provider.status().message()));
    return absl::OkStatus();
  }
  absl::Status status = DestroyEnded(keys);
  if (status.ok() && seeds_.empty() && approvals_.empty() && own_) {
    status = ApproveCurrentBoot(host_id);
  }
  const std::vector<PqKeyId> active = ActiveOf(keys);
  if (status.ok()) {
    status = Unseal(active);
  }
  if (status.ok()) {
    status = MakeMissing(active);
  }
  if (status.ok()) {
    return Settle(PqState::kUnsealed, status);
  }
  refused_ = absl::IsPermissionDenied(status);
  return Settle(refused_ ? PqState::kUnapprovedBoot : PqState::kUnavailable,
                status);
}

absl::Status PqKeys::Load() {
  if (loaded_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(LoadSeeds());
  RETURN_IF_ERROR(LoadApprovals());
  if (options_.mode != PqMode::kOff) {
    if (options_.authority_pem.empty()) {
      ASSIGN_OR_RETURN_WITH(
          own_, SealAuthority::LoadOrGenerate(folder_ / "authority.pem"),
          "the host's own seal authority");
      authority_ = own_->public_area();
    } else {
      ASSIGN_OR_RETURN_WITH(authority_,
                            evidence::AuthorityPublic(options_.authority_pem),
                            "the seal authority");
    }
  }
  loaded_ = true;
  return absl::OkStatus();
}

absl::Status PqKeys::LoadSeeds() {
  seeds_.clear();
  ASSIGN_OR_RETURN(const auto files, FilesIn(folder_ / "seeds", kSeedSuffix));
  for (const std::filesystem::path& path : files) {
    ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxSeedFileSize));
    ASSIGN_OR_RETURN_WITH(tpm::SealedSeed seed, ParseSeedFile(bytes),
                          path.string());
    if (path.filename() != SeedName(seed.key)) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: holds the seed {}", path.string(), SeedName(seed.key)));
    }
    SeedId id({seed.key.purpose, seed.key.epoch}, seed.key.algorithm);
    seeds_.emplace(std::move(id), std::move(seed));
  }
  return absl::OkStatus();
}

absl::Status PqKeys::LoadApprovals() {
  approvals_.clear();
  ASSIGN_OR_RETURN(const auto files,
                   FilesIn(folder_ / "approvals", kApprovalSuffix));
  for (const std::filesystem::path& path : files) {
    if (approvals_.size() == kMaxApprovalFiles) {
      break;
    }
    ASSIGN_OR_RETURN(const Bytes bytes,
                     ReadFile(path, wire::kMaxSealApprovalSize));
    ASSIGN_OR_RETURN_WITH(std::vector<SealApproval> approvals,
                          wire::SealApprovalsFromJson(AsText(bytes)),
                          path.string());
    approvals_.emplace(path.filename(), std::move(approvals));
  }
  return absl::OkStatus();
}

absl::Status PqKeys::Unseal(const std::vector<PqKeyId>& active) {
  for (const PqKeyId& id : active) {
    const auto seed =
        seeds_.find({id, std::string(vmattest::ToString(options_.level))});
    if (seed == seeds_.end() || signers_.contains(id)) {
      continue;
    }
    if (refused_) {
      return absl::PermissionDeniedError(view()->detail);
    }
    RETURN_IF_ERROR(UnsealOne(seed->second));
  }
  return absl::OkStatus();
}

absl::Status PqKeys::UnsealOne(const tpm::SealedSeed& sealed) {
  std::vector<SealApproval> fitting;
  for (const auto& [name, approvals] : approvals_) {
    std::copy_if(
        approvals.begin(), approvals.end(), std::back_inserter(fitting),
        [&](const SealApproval& a) { return a.purpose == sealed.key.purpose; });
  }
  ASSIGN_OR_RETURN(const SecretBytes seed,
                   tpm_.UnsealSeed(sealed, authority_, fitting));
  ASSIGN_OR_RETURN(MlDsaKey key, MlDsaKey::FromSeed(options_.level, seed));
  if (key.public_key() != sealed.key.public_key) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: the seed is that of another key", SeedName(sealed.key)));
  }
  signers_[{sealed.key.purpose, sealed.key.epoch}] =
      std::make_shared<const MlDsaKey>(std::move(key));
  return absl::OkStatus();
}

absl::Status PqKeys::MakeMissing(const std::vector<PqKeyId>& active) {
  absl::Status first_error;
  for (const PqKeyId& id : active) {
    if (signers_.contains(id)) {
      continue;
    }
    // Where a boot is not approved, keys are made and wait for the approval.
    const absl::Status made = MakeOne(id);
    if (!made.ok() && !absl::IsPermissionDenied(made)) {
      return made;
    }
    first_error.Update(made);
  }
  return first_error;
}

absl::Status PqKeys::MakeOne(const PqKeyId& id) {
  const auto& [purpose, epoch] = id;
  const std::string algorithm(vmattest::ToString(options_.level));
  const SecretBytes seed = GenerateMlDsaSeed();
  ASSIGN_OR_RETURN(const MlDsaKey key,
                   MlDsaKey::FromSeed(options_.level, seed));
  ASSIGN_OR_RETURN(tpm::SealedSeed sealed,
                   tpm_.SealSeed(algorithm, purpose, epoch, key.public_key(),
                                 seed, authority_));
  RETURN_IF_ERROR(SaveSeed(sealed));
  const tpm::SealedSeed& kept = seeds_[{id, algorithm}] = std::move(sealed);
  return UnsealOne(kept);
}

absl::Status PqKeys::DestroyEnded(const std::vector<tpm::KeyEpoch>& keys) {
  for (const tpm::KeyEpoch& key : keys) {
    if (key.state != tpm::KeyEpoch::State::kRetired &&
        key.state != tpm::KeyEpoch::State::kRevoked) {
      continue;
    }
    const PqKeyId id(key.certification.purpose, key.certification.epoch);
    signers_.erase(id);
    for (auto& [seed_id, seed] : seeds_) {
      if (seed_id.first == id && !seed.private_area.empty()) {
        seed.private_area.clear();
        RETURN_IF_ERROR(SaveSeed(seed));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status PqKeys::SaveSeed(const tpm::SealedSeed& seed) {
  RETURN_IF_ERROR(MakeFolder(folder_ / "seeds"));
  return WriteFileAtomic(folder_ / "seeds" / SeedName(seed.key),
                         EncodeSeedFile(seed), kSecretFile);
}

absl::Status PqKeys::SaveApprovals(const std::vector<SealApproval>& approvals) {
  std::map<std::string, std::vector<SealApproval>> by_boot;
  for (const SealApproval& approval : approvals) {
    ASSIGN_OR_RETURN(const std::string name, ApprovalName(approval));
    by_boot[name].push_back(approval);
  }
  RETURN_IF_ERROR(MakeFolder(folder_ / "approvals"));
  for (auto& [name, boot] : by_boot) {
    if (approvals_.size() >= kMaxApprovalFiles && !approvals_.contains(name)) {
      return absl::ResourceExhaustedError(
          fmt::format("{} boots are approved already", approvals_.size()));
    }
    ASSIGN_OR_RETURN(const std::string json, wire::SealApprovalsToJson(boot));
    RETURN_IF_ERROR(WriteFileAtomic(folder_ / "approvals" / name, AsBytes(json),
                                    kSecretFile));
    approvals_[name] = std::move(boot);
  }
  refused_ = false;
  return absl::OkStatus();
}

absl::Status PqKeys::Install(const std::string& host_id,
                             const std::vector<SealApproval>& approvals) {
  RETURN_IF_ERROR(Load());
  for (const SealApproval& approval : approvals) {
    if (approval.host_id != host_id) {
      return absl::InvalidArgumentError(
          fmt::format("an approval for host {}", approval.host_id));
    }
    if (!evidence::ApprovalHolds(approval, authority_)) {
      return absl::InvalidArgumentError(
          "an approval that the seal authority did not sign");
    }
  }
  return SaveApprovals(approvals);
}

absl::Status PqKeys::ApproveCurrentBoot(const std::string& host_id) {
  RETURN_IF_ERROR(Load());
  if (!own_) {
    return absl::FailedPreconditionError(
        "this host has no seal authority of its own: its operator signs "
        "approvals");
  }
  ASSIGN_OR_RETURN(const tpm::SealRegisters registers,
                   tpm_.ReadSealRegisters());
  std::vector<SealApproval> approvals;
  for (const KeyPurpose purpose :
       {KeyPurpose::kConfig, KeyPurpose::kState, KeyPurpose::kProfile,
        KeyPurpose::kLiveness, KeyPurpose::kLedger,
        KeyPurpose::kAuthorization}) {
    SealApproval& approval = approvals.emplace_back();
    approval.host_id = host_id;
    approval.purpose = purpose;
    approval.pcrs = registers.pcrs;
    approval.counter_limit = registers.counter;
    approval.counter_name = registers.counter_name;
    RETURN_IF_ERROR(own_->Sign(approval));
  }
  return SaveApprovals(approvals);
}

absl::Status PqKeys::RevokeApprovals() {
  RETURN_IF_ERROR(Load());
  ASSIGN_OR_RETURN(const uint64_t counter, tpm_.RevokeApprovals());
  for (auto file = approvals_.begin(); file != approvals_.end();) {
    if (file->second.front().counter_limit >= counter) {
      ++file;
      continue;
    }
    std::error_code ignored;  // a void approval does no harm
    std::filesystem::remove(folder_ / "approvals" / file->first, ignored);
    file = approvals_.erase(file);
  }
  return absl::OkStatus();
}

absl::Status PqKeys::PutAside(const std::string& suffix) {
  for (const char* name : {"seeds", "approvals"}) {
    std::error_code error;
    std::filesystem::rename(folder_ / name, folder_ / (name + suffix), error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return ErrnoStatus(error.value(), fmt::format("putting {} aside", name));
    }
  }
  loaded_ = false;
  refused_ = false;
  signers_.clear();
  return absl::OkStatus();
}

}  // namespace vmattest::signing
