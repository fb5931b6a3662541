#include "verifierd/ledger_keys.h"

#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "verifierd/keys.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<SecretBytes> Seed(const fs::path& path) {
  return LoadOrMakeSecret(path, [] {
    return absl::StatusOr<SecretBytes>(SecretBytes(RandomBytes(32)));
  });
}

// Nothing where this process has no ML-DSA.
absl::StatusOr<std::unique_ptr<tlog::NoteSigner>> MlDsaSigner(
    const std::string& name, const fs::path& path) {
  if (!MlDsaProvider::Open().ok()) {
    return nullptr;
  }
  ASSIGN_OR_RETURN(const SecretBytes seed, Seed(path));
  ASSIGN_OR_RETURN(MlDsaKey key, MlDsaKey::FromSeed(MlDsaLevel::k44, seed));
  return tlog::MlDsaNoteSigner(name, std::move(key));
}

absl::StatusOr<std::shared_ptr<tlog::NoteSigner>> LogSigner(
    const std::string& origin, const fs::path& path) {
  ASSIGN_OR_RETURN(
      const SecretBytes pem, LoadOrMakeSecret(path, [] {
        return absl::StatusOr<SecretBytes>(EcPrivateKey::Generate().ToPem());
      }));
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key, EcPrivateKey::FromPem(pem),
                        path.string());
  ASSIGN_OR_RETURN(
      std::unique_ptr<tlog::NoteSigner> signer,
      tlog::EcdsaNoteSigner(
          origin, std::make_shared<const EcPrivateKey>(std::move(key))));
  return signer;
}

}  // namespace

absl::StatusOr<std::vector<std::shared_ptr<tlog::NoteSigner>>> LoadLogSigners(
    const fs::path& folder, const std::string& origin) {
  std::vector<std::shared_ptr<tlog::NoteSigner>> signers;
  ASSIGN_OR_RETURN(std::shared_ptr<tlog::NoteSigner> log,
                   LogSigner(origin, folder / "ledger-key.pem"));
  signers.push_back(std::move(log));
  ASSIGN_OR_RETURN(std::unique_ptr<tlog::NoteSigner> pq,
                   MlDsaSigner(origin, folder / "ledger-log.ml-dsa"));
  if (pq == nullptr) {
    log::Warning(
        "the ledger's checkpoints have no post-quantum signature",
        {{"why", std::string(MlDsaProvider::Open().status().message())}});
  } else {
    signers.push_back(std::move(pq));
  }
  return signers;
}

absl::StatusOr<std::vector<std::unique_ptr<tlog::NoteSigner>>>
LoadWitnessSigners(const fs::path& folder, const std::string& origin) {
  const std::string name = origin + "/witness";
  std::vector<std::unique_ptr<tlog::NoteSigner>> cosigners;
  ASSIGN_OR_RETURN(const SecretBytes seed,
                   Seed(folder / "ledger-witness.seed"));
  ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::FromSeed(seed));
  ASSIGN_OR_RETURN(
      std::unique_ptr<tlog::NoteSigner> ed25519,
      tlog::Ed25519NoteSigner(name, tlog::NoteKeyType::kEd25519Cosignature,
                              std::move(key)));
  cosigners.push_back(std::move(ed25519));
  ASSIGN_OR_RETURN(std::unique_ptr<tlog::NoteSigner> pq,
                   MlDsaSigner(name, folder / "ledger-witness.ml-dsa"));
  if (pq != nullptr) {
    cosigners.push_back(std::move(pq));
  }
  return cosigners;
}

}  // namespace vmattest::verifierd
