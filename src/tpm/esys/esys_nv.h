#ifndef VMATTEST_TPM_ESYS_ESYS_NV_H_
#define VMATTEST_TPM_ESYS_ESYS_NV_H_

#include <tss2/tss2_esys.h>

#include <optional>
#include <string>

#include "tpm/esys/esys_context.h"
#include "tpm/esys/esys_keys.h"
#include "tpm/esys/esys_session.h"

namespace vmattest::tpm {

// An NV index of ours in the owner hierarchy, never orderly (rule S1): what was
// written is in the TPM when the command returns. Read and written with an
// authValue of its own, which is derived like those of keys.
struct NvSpec {
  std::string label;
  TPM2_HANDLE handle = 0;
  bool is_counter = false;
  uint16_t size = 0;  // 8 for a counter
};

struct NvIndex {
  ESYS_TR object = ESYS_TR_NONE;
  bool written = false;
};

// TPM2B_NV_PUBLIC as it is once the index was written. The Name is made from
// it, so an index that was re-created has the same one.
absl::StatusOr<Bytes> WrittenPublic(const NvSpec& spec);
// nameAlg || H(public area) of a TPM2B_NV_PUBLIC with SHA-256.
absl::StatusOr<Bytes> NvName(ByteView tpm2b_nv_public);

// nullopt: it is not there, or it is there with another authorisation, so
// whoever made it is not us; nobody on the way can say so in the TPM's place.
// FAILED_PRECONDITION names the handle if an index of another kind is there.
absl::StatusOr<std::optional<NvIndex>> FindNv(EsysContext& context,
                                              EsysSession& session,
                                              const NvSpec& spec,
                                              const SecretBytes& key_auth);
// Defines it; one of the same kind that FindNv does not count as ours goes.
absl::StatusOr<NvIndex> DefineNv(EsysContext& context, EsysSession& session,
                                 const NvSpec& spec,
                                 const KeyAuthorizations& authorizations);

// All of it, at most 512 bytes. DATA_LOSS: another size.
absl::StatusOr<Bytes> ReadNv(EsysContext& context, EsysSession& session,
                             const NvIndex& index, uint16_t size);
absl::Status WriteNv(EsysContext& context, EsysSession& session,
                     const NvIndex& index, ByteView contents);
// A counter that counts for the first time starts above all that this TPM ever
// had.
absl::Status IncrementNv(EsysContext& context, EsysSession& session,
                         const NvIndex& index);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_NV_H_
