#include "tpm/esys/esys_connection.h"
#include "tpm/esys/esys_seal.h"

// Seeds of post-quantum keys: the work is esys_seal's.

namespace vmattest::tpm {
absl::Status EsysHostTpm::RunSealing(
    const std::function<absl::Status(const SealTools&)>& command) {
  RETURN_IF_ERROR(CheckProvisioned());
  const std::string host_id = identity_->host_id;
  return Run([&](Connection& connection) -> absl::Status {
    const SealTools tools = {.context = *connection.context,
                             .session = *connection.session,
                             .ak = connection.ak,
                             .owner_auth = options_.owner_auth,
                             .key_auth = options_.key_auth,
                             .counter = options_.seal_counter_index,
                             .pcrs = {options_.pcr_bank, options_.seal_pcrs},
                             .host_id = host_id};
    if (!connection.seal_counter_ready) {
      RETURN_IF_ERROR(EnsureSealCounter(tools));
      connection.seal_counter_ready = true;
    }
    return command(tools);
  });
}

absl::StatusOr<SealRegisters> EsysHostTpm::ReadSealRegisters() {
  const MutexLock lock(mutex_);
  SealRegisters registers;
  const absl::Status ran =
      RunSealing([&](const SealTools& tools) -> absl::Status {
        ASSIGN_OR_RETURN(registers, ReadSealState(tools));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(ran);
  return registers;
}

absl::StatusOr<SealedSeed> EsysHostTpm::SealSeed(
    std::string_view algorithm, KeyPurpose purpose, uint32_t epoch,
    ByteView public_key, const SecretBytes& seed, ByteView authority) {
  const MutexLock lock(mutex_);
  SealedSeed sealed;
  const absl::Status ran =
      RunSealing([&](const SealTools& tools) -> absl::Status {
        ASSIGN_OR_RETURN(sealed, Seal(tools, algorithm, purpose, epoch,
                                      public_key, seed, authority));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(ran);
  return sealed;
}

absl::StatusOr<SecretBytes> EsysHostTpm::UnsealSeed(
    const SealedSeed& sealed, ByteView authority,
    std::span<const evidence::SealApproval> approvals) {
  const MutexLock lock(mutex_);
  SecretBytes seed;
  const absl::Status ran =
      RunSealing([&](const SealTools& tools) -> absl::Status {
        ASSIGN_OR_RETURN(seed, Unseal(tools, sealed, authority, approvals));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(ran);
  return seed;
}

absl::StatusOr<uint64_t> EsysHostTpm::RevokeApprovals() {
  const MutexLock lock(mutex_);
  uint64_t counter = 0;
  const absl::Status ran =
      RunSealing([&](const SealTools& tools) -> absl::Status {
        ASSIGN_OR_RETURN(counter, VoidApprovals(tools));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(ran);
  return counter;
}

}  // namespace vmattest::tpm
