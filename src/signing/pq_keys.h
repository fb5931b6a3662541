#ifndef VMATTEST_SIGNING_PQ_KEYS_H_
#define VMATTEST_SIGNING_PQ_KEYS_H_

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "crypto/ml_dsa.h"
#include "evidence/seal_authority.h"
#include "signing/signer.h"
#include "tpm/host_tpm.h"

namespace vmattest::signing {

enum class PqMode : uint8_t {
  kOff,
  kPreferred,  // beside the quote, where it can be had
  kRequired,   // nothing is signed without it
};

struct PqOptions {
  PqMode mode = PqMode::kPreferred;
  MlDsaLevel level = MlDsaLevel::k65;
  std::string module;  // path of the ML-DSA module; empty: the usual places
  // Public key, PEM, of who approves boots; empty: the host does, with a key of
  // its own in the state folder, and approves its first boot by itself.
  std::string authority_pem;
};

using PqKeyId = std::pair<KeyPurpose, uint32_t>;  // purpose and epoch

// What signs now; never changes once it is published.
struct PqView {
  PqState state = PqState::kUnavailable;
  std::string detail;
  std::vector<evidence::PqKey> keys;  // of all epochs
  Bytes authority;                    // TPM2B_PUBLIC; empty: none yet
  uint64_t approvals = 0;
  std::map<PqKeyId, std::shared_ptr<const MlDsaKey>> signers;
};

// The post-quantum keys beside the purpose keys (rules S3, S5): one for each
// purpose and epoch, its seed sealed by the TPM and kept in `folder`/seeds,
// unsealed with the approvals in `folder`/approvals. view() is callable from
// any thread; all else blocks and is the `tpm` thread's. Errors are the TPM's
// UNAVAILABLE and DATA_LOSS; whatever else is wrong is in the view.
class PqKeys {
 public:
  PqKeys(tpm::HostTpm& tpm, std::filesystem::path folder, PqOptions options);

  // Makes what is missing, unseals what is sealed, destroys seeds of keys that
  // are retired or revoked. Cheap if there is nothing to do.
  absl::Status Refresh(const std::string& host_id,
                       const std::vector<tpm::KeyEpoch>& keys);

  // Both want a Refresh() after them. INVALID_ARGUMENT: not the authority's, or
  // about another host; nothing is installed then.
  absl::Status Install(const std::string& host_id,
                       const std::vector<evidence::SealApproval>& approvals);
  // FAILED_PRECONDITION: approving is somebody else's.
  absl::Status ApproveCurrentBoot(const std::string& host_id);
  // Approvals made before are void and removed.
  absl::Status RevokeApprovals();

  // Renames what belongs to another host, and forgets it.
  absl::Status PutAside(const std::string& suffix);

  [[nodiscard]] std::shared_ptr<const PqView> view() const
      EXCLUDES_LOCK(mutex_);

 private:
  using SeedId = std::pair<PqKeyId, std::string>;  // and algorithm

  absl::Status Load();
  absl::Status LoadSeeds();
  absl::Status LoadApprovals();
  absl::Status Unseal(const std::vector<PqKeyId>& active);
  absl::Status UnsealOne(const tpm::SealedSeed& seed);
  absl::Status MakeMissing(const std::vector<PqKeyId>& active);
  absl::Status MakeOne(const PqKeyId& id);
  absl::Status DestroyEnded(const std::vector<tpm::KeyEpoch>& keys);
  absl::Status SaveSeed(const tpm::SealedSeed& seed);
  absl::Status SaveApprovals(
      const std::vector<evidence::SealApproval>& approvals);
  absl::Status Settle(PqState state, const absl::Status& why);
  void Publish(PqState state, std::string detail) EXCLUDES_LOCK(mutex_);

  tpm::HostTpm& tpm_;
  const std::filesystem::path folder_;
  const PqOptions options_;
  bool loaded_ = false;
  // An unsealing was refused, and nothing changed since.
  bool refused_ = false;
  Bytes authority_;
  std::optional<evidence::SealAuthority> own_;
  std::map<SeedId, tpm::SealedSeed> seeds_;
  // By file name, one for each boot.
  std::map<std::string, std::vector<evidence::SealApproval>> approvals_;
  std::map<PqKeyId, std::shared_ptr<const MlDsaKey>> signers_;
  mutable Mutex mutex_;
  std::shared_ptr<const PqView> view_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_PQ_KEYS_H_
