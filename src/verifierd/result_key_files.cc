#include "verifierd/result_key_files.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "fmt/format.h"
#include "process/state_dir.h"
#include "token/key_file.h"
#include "verifierd/keys.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;
using verification::ResultKeys;

constexpr char kActive[] = "result-key";
constexpr char kNext[] = "next-result-key";
constexpr char kEc[] = ".pem";
constexpr char kPq[] = ".ml-dsa";
constexpr char kOld[] = "old-result-keys.json";
constexpr char kPublished[] = "result-keys.json";

fs::path File(const fs::path& folder, const char* name, const char* kind) {
  return folder / (std::string(name) + kind);
}

absl::StatusOr<SecretBytes> MakeEc() {
  return EcPrivateKey::Generate().ToPem();
}

absl::StatusOr<SecretBytes> MakePq() { return GenerateMlDsaSeed(); }

absl::StatusOr<EcPrivateKey> ReadEc(const fs::path& path) {
  ASSIGN_OR_RETURN(const SecretBytes pem, process::LoadSecretFile(path));
  absl::StatusOr<EcPrivateKey> key = EcPrivateKey::FromPem(pem);
  return key.ok() ? std::move(key) : Annotate(key.status(), path.string());
}

absl::StatusOr<std::optional<MlDsaKey>> ReadPq(const fs::path& path,
                                               bool available) {
  auto seed = process::LoadSecretFile(path);
  if (absl::IsNotFound(seed.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(seed.status());
  if (!available) {
    log::Warning("results are not signed with ML-DSA",
                 {{"key", path.string()}});
    return std::nullopt;
  }
  ASSIGN_OR_RETURN_WITH(
      MlDsaKey key, MlDsaKey::FromSeed(MlDsaLevel::k65, *seed), path.string());
  return key;
}

absl::StatusOr<token::TokenSigner> ReadSigner(const fs::path& folder,
                                              const char* name,
                                              bool post_quantum) {
  ASSIGN_OR_RETURN(EcPrivateKey ec, ReadEc(File(folder, name, kEc)));
  ASSIGN_OR_RETURN(std::optional<MlDsaKey> pq,
                   ReadPq(File(folder, name, kPq), post_quantum));
  return token::TokenSigner(std::move(ec), std::move(pq));
}

void Add(ResultKeys::State state,
         const std::vector<token::VerificationKey>& more,
         std::vector<ResultKeys::Key>& keys) {
  for (const token::VerificationKey& key : more) {
    const std::string id = key.key_id();
    if (std::none_of(keys.begin(), keys.end(), [&id](const auto& known) {
          return known.key.key_id() == id;
        })) {
      keys.push_back({state, key});
    }
  }
}

std::string JwkSetOf(const std::vector<ResultKeys::Key>& keys,
                     const std::function<bool(ResultKeys::State)>& wanted) {
  std::vector<token::VerificationKey> some;
  for (const ResultKeys::Key& key : keys) {
    if (wanted(key.state)) {
      some.push_back(key.key);
    }
  }
  return token::ToJwkSet(some);
}

absl::Status Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  return error ? ErrnoStatus(error.value(), from.string()) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResultKeyFiles>> ResultKeyFiles::Open(
    const fs::path& folder, bool post_quantum) {
  RETURN_IF_ERROR(
      LoadOrMakeSecret(File(folder, kActive, kEc), MakeEc).status());
  if (post_quantum) {
    RETURN_IF_ERROR(
        LoadOrMakeSecret(File(folder, kActive, kPq), MakePq).status());
  }
  std::unique_ptr<ResultKeyFiles> keys(
      new ResultKeyFiles(folder, post_quantum));
  const MutexLock lock(keys->mutex_);
  RETURN_IF_ERROR(keys->Load());
  return keys;
}

absl::Status ResultKeyFiles::Load() {
  ASSIGN_OR_RETURN(token::TokenSigner active,
                   ReadSigner(folder_, kActive, post_quantum_));
  std::vector<Key> keys;
  Add(State::kActive, active.keys(), keys);
  const auto next = ReadSigner(folder_, kNext, post_quantum_);
  if (next.ok()) {
    Add(State::kNext, next->keys(), keys);
  } else if (!absl::IsNotFound(next.status())) {
    return next.status();
  }
  const auto old = token::LoadKeyFile(folder_ / kOld);
  if (old.ok()) {
    Add(State::kOld, *old, keys);
  } else if (!absl::IsNotFound(old.status())) {
    return old.status();
  }
  // Also syncs the folder, and with it what was renamed or removed.
  RETURN_IF_ERROR(
      WriteFileAtomic(folder_ / kPublished,
                      AsBytes(JwkSetOf(keys, [](State) { return true; }))));
  signer_ = std::make_shared<const token::TokenSigner>(std::move(active));
  keys_ = std::move(keys);
  return absl::OkStatus();
}

std::shared_ptr<const token::TokenSigner> ResultKeyFiles::Signer() const {
  const MutexLock lock(mutex_);
  return signer_;
}

std::vector<ResultKeys::Key> ResultKeyFiles::List() const {
  const MutexLock lock(mutex_);
  return keys_;
}

absl::Status ResultKeyFiles::Rotate(Step step) {
  const MutexLock lock(mutex_);
  switch (step) {
    case Step::kPrepare:
      RETURN_IF_ERROR(Prepare());
      break;
    case Step::kActivate:
      RETURN_IF_ERROR(Activate());
      break;
    case Step::kRetire:
      RETURN_IF_ERROR(Retire());
      break;
  }
  RETURN_IF_ERROR(Load());
  for (const Key& key : keys_) {
    log::Info("a key of results",
              {{"state", std::string(ToString(key.state))},
               {"algorithm", std::string(key.key.algorithm())},
               {"kid", key.key.key_id()}});
  }
  return absl::OkStatus();
}

absl::Status ResultKeyFiles::Prepare() {
  std::error_code ignored;
  if (fs::exists(File(folder_, kNext, kEc), ignored)) {
    return absl::FailedPreconditionError("there is a next key already");
  }
  // The one that makes it a next key comes last.
  if (post_quantum_) {
    RETURN_IF_ERROR(
        LoadOrMakeSecret(File(folder_, kNext, kPq), MakePq).status());
  }
  return LoadOrMakeSecret(File(folder_, kNext, kEc), MakeEc).status();
}

absl::Status ResultKeyFiles::Activate() {
  std::error_code ignored;
  if (!fs::exists(File(folder_, kNext, kEc), ignored)) {
    return absl::FailedPreconditionError("there is no next key: prepare one");
  }
  RETURN_IF_ERROR(
      WriteFileAtomic(folder_ / kOld, AsBytes(JwkSetOf(keys_, [](State state) {
                        return state != State::kNext;
                      }))));
  if (fs::exists(File(folder_, kNext, kPq), ignored)) {
    RETURN_IF_ERROR(
        Rename(File(folder_, kNext, kPq), File(folder_, kActive, kPq)));
  }
  return Rename(File(folder_, kNext, kEc), File(folder_, kActive, kEc));
}

absl::Status ResultKeyFiles::Retire() {
  std::error_code error;
  if (!fs::remove(folder_ / kOld, error)) {
    return error ? ErrnoStatus(error.value(), kOld)
                 : absl::FailedPreconditionError("there is no old key");
  }
  return absl::OkStatus();
}

}  // namespace vmattest::verifierd
