#include "verifierd/keys.h"

#include <functional>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "document/key_files.h"
#include "process/state_dir.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

constexpr char kAuthorityName[] = "authority";

absl::StatusOr<std::optional<MlDsaKey>> LoadResultPqKey(const fs::path& path,
                                                        bool available) {
  if (!available) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) {
      log::Warning("results are not signed with ML-DSA",
                   {{"key", path.string()}});
    }
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const SecretBytes seed, LoadOrMakeSecret(path, [] {
                     return absl::StatusOr<SecretBytes>(GenerateMlDsaSeed());
                   }));
  ASSIGN_OR_RETURN(MlDsaKey key, MlDsaKey::FromSeed(MlDsaLevel::k65, seed));
  return key;
}

}  // namespace

absl::StatusOr<SecretBytes> LoadOrMakeSecret(
    const fs::path& path,
    const std::function<absl::StatusOr<SecretBytes>()>& make) {
  auto secret = process::LoadSecretFile(path);
  if (!absl::IsNotFound(secret.status())) {
    return secret;
  }
  ASSIGN_OR_RETURN(const SecretBytes made, make());
  RETURN_IF_ERROR(WriteFileAtomic(path, made.Reveal(SecretAccess()), 0600));
  return process::LoadSecretFile(path);
}

absl::StatusOr<document::PrivateKey> LoadOrMakeAuthority(const fs::path& file,
                                                         bool post_quantum) {
  ASSIGN_OR_RETURN(
      const SecretBytes authority,
      LoadOrMakeSecret(file, [post_quantum]() -> absl::StatusOr<SecretBytes> {
        const bool hybrid = post_quantum && MlDsaProvider::Open().ok();
        ASSIGN_OR_RETURN(
            const document::PrivateKey made,
            document::PrivateKey::Generate(
                kAuthorityName,
                hybrid ? std::optional(MlDsaLevel::k65) : std::nullopt));
        return made.ToFile();
      }));
  absl::StatusOr<document::PrivateKey> key =
      document::PrivateKey::Parse(authority);
  RETURN_IF_ERROR_WITH(key.status(), file.string());
  return key;
}

absl::StatusOr<VerifierKeys> LoadVerifierKeys(const fs::path& folder,
                                              bool post_quantum,
                                              const std::string& module) {
  // Also to check what others signed with it.
  const auto provider = MlDsaProvider::Open(module);
  const bool available = post_quantum && provider.ok();
  if (!provider.ok()) {
    log::Warning("no ML-DSA here: new keys are ECDSA alone",
                 {{"why", std::string(provider.status().message())}});
  }
  const fs::path result_file = folder / "result-key.pem";
  ASSIGN_OR_RETURN(
      const SecretBytes pem, LoadOrMakeSecret(result_file, [] {
        return absl::StatusOr<SecretBytes>(EcPrivateKey::Generate().ToPem());
      }));
  ASSIGN_OR_RETURN_WITH(EcPrivateKey result_key, EcPrivateKey::FromPem(pem),
                        result_file.string());
  ASSIGN_OR_RETURN(std::optional<MlDsaKey> result_pq,
                   LoadResultPqKey(folder / "result-key.ml-dsa", available));
  ASSIGN_OR_RETURN(document::PrivateKey authority_key,
                   LoadOrMakeAuthority(folder / "authority.json", available));
  return VerifierKeys{
      token::TokenSigner(std::move(result_key), std::move(result_pq)),
      std::move(authority_key)};
}

absl::StatusOr<std::vector<document::PublicKey>> LoadApprovers(
    const fs::path& folder) {
  auto keys = document::LoadKeysIfAny(folder);
  if (keys.ok() && keys->empty()) {
    log::Warning("nobody can approve references",
                 {{"folder", folder.string()}});
  }
  return keys;
}

}  // namespace vmattest::verifierd
