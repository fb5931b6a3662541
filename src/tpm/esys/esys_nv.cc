#include "tpm/esys/esys_nv.h"

#include <tss2/tss2_mu.h>

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "tpm/esys/handles.h"
#include "tpm/esys/scoped_auth.h"

namespace vmattest::tpm {
namespace {

constexpr TPMA_NV kAttributes =
    TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA;
constexpr uint16_t kMaxPart = 512;

TPM2B_NV_PUBLIC Template(const NvSpec& spec) {
  TPM2B_NV_PUBLIC area{};
  area.nvPublic.nvIndex = spec.handle;
  area.nvPublic.nameAlg = TPM2_ALG_SHA256;
  area.nvPublic.attributes =
      kAttributes |
      (spec.is_counter ? TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT : 0U);
  area.nvPublic.dataSize = spec.size;
  return area;
}

absl::StatusOr<Bytes> Encode(const TPM2B_NV_PUBLIC& area) {
  Bytes bytes(sizeof(area));
  size_t size = 0;
  if (Tss2_MU_TPM2B_NV_PUBLIC_Marshal(&area, bytes.data(), bytes.size(),
                                      &size) != TSS2_RC_SUCCESS) {
    return absl::DataLossError("an NV public area that does not marshal");
  }
  bytes.resize(size);
  return bytes;
}

// With the index' place in the TPM as clause.
std::string Doing(std::string_view what, const NvSpec& spec) {
  return fmt::format("{} the {} index at {:#x}", what, spec.label, spec.handle);
}

absl::StatusOr<bool> Exists(EsysContext& context, EsysSession& session,
                            TPM2_HANDLE handle) {
  ASSIGN_OR_RETURN(const std::vector<TPM2_HANDLE> handles,
                   context.Handles(handle, session.Auditing()));
  return !handles.empty() && handles.front() == handle;
}

struct Found {
  ESYS_TR object = ESYS_TR_NONE;
  bool written = false;
};

// The index at the spec's handle, which exists; FAILED_PRECONDITION if it is of
// another kind. What ESYS knows of it is then authenticated.
absl::StatusOr<Found> Open(EsysContext& context, EsysSession& session,
                           const NvSpec& spec) {
  const std::string doing = Doing("reading", spec);
  ASSIGN_OR_RETURN(const ESYS_TR object, context.Find(spec.handle, doing));
  EsysPtr<TPM2B_NV_PUBLIC> area;
  RETURN_IF_ERROR(context.Call(doing, [&] {
    return Esys_NV_ReadPublic(context.get(), object,
                              session.EncryptingResponse(), ESYS_TR_NONE,
                              ESYS_TR_NONE, EsysOut(area), nullptr);
  }));
  const bool written = (area->nvPublic.attributes & TPMA_NV_WRITTEN) != 0;
  area->nvPublic.attributes &= ~TPMA_NV_WRITTEN;
  area->size = 0;
  ASSIGN_OR_RETURN(const Bytes found, Encode(*area));
  ASSIGN_OR_RETURN(const Bytes expected, Encode(Template(spec)));
  if (found != expected) {
    context.Forget(object);
    return absl::FailedPreconditionError(fmt::format(
        "NV index {:#x} is not vmattest's {} index: choose another index, or "
        "remove it (tpm2_nvundefine {:#x})",
        spec.handle, spec.label, spec.handle));
  }
  return Found{object, written};
}

absl::Status Undefine(EsysContext& context, EsysSession& session,
                      const NvSpec& spec, ESYS_TR object) {
  return context.CallAsOwner(Doing("removing", spec), [&] {
    return Esys_NV_UndefineSpace(context.get(), ESYS_TR_RH_OWNER, object,
                                 session.Auditing(), ESYS_TR_NONE,
                                 ESYS_TR_NONE);
  });
}

}  // namespace

absl::StatusOr<Bytes> WrittenPublic(const NvSpec& spec) {
  TPM2B_NV_PUBLIC area = Template(spec);
  area.nvPublic.attributes |= TPMA_NV_WRITTEN;
  return Encode(area);
}

absl::StatusOr<Bytes> NvName(ByteView tpm2b_nv_public) {
  ByteReader reader(tpm2b_nv_public);
  const ByteView area = reader.Raw(reader.U16());
  ByteReader fields(area);
  fields.U32();
  const uint16_t name_algorithm = fields.U16();
  if (!reader.AtEnd() || !fields.ok() || name_algorithm != TPM2_ALG_SHA256) {
    return absl::InvalidArgumentError(
        "TPM2B_NV_PUBLIC: sizes do not match, or a name that is not SHA-256");
  }
  ByteWriter name;
  name.U16(name_algorithm).Raw(Hash(HashAlgorithm::kSha256, area));
  return std::move(name).Take();
}

absl::StatusOr<std::optional<NvIndex>> FindNv(EsysContext& context,
                                              EsysSession& session,
                                              const NvSpec& spec,
                                              const SecretBytes& key_auth) {
  ASSIGN_OR_RETURN(const bool exists, Exists(context, session, spec.handle));
  if (!exists) {
    return std::optional<NvIndex>();
  }
  ASSIGN_OR_RETURN(const Found found, Open(context, session, spec));
  RETURN_IF_ERROR(
      SetAuth(context, found.object, DeriveAuth(key_auth, spec.label)));
  EsysPtr<TPM2B_MAX_NV_BUFFER> part;
  const absl::Status read = context.Call(Doing("reading", spec), [&] {
    return Esys_NV_Read(context.get(), found.object, found.object,
                        session.EncryptingResponse(), ESYS_TR_NONE,
                        ESYS_TR_NONE, spec.size, 0, EsysOut(part));
  });
  if (!read.ok() && context.fault() == EsysFault::kRefused) {
    context.Forget(found.object);
    return std::optional<NvIndex>();
  }
  // An unwritten index has nothing to read, but takes the authorisation.
  if (found.written || context.fault() != EsysFault::kOther) {
    RETURN_IF_ERROR(read);
  }
  return std::optional<NvIndex>(NvIndex{found.object, found.written});
}

absl::StatusOr<NvIndex> DefineNv(EsysContext& context, EsysSession& session,
                                 const NvSpec& spec,
                                 const KeyAuthorizations& authorizations) {
  RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_OWNER, authorizations.owner));
  ASSIGN_OR_RETURN(const bool exists, Exists(context, session, spec.handle));
  if (exists) {
    ASSIGN_OR_RETURN(const Found found, Open(context, session, spec));
    RETURN_IF_ERROR(Undefine(context, session, spec, found.object));
  }
  const SecretBytes auth = DeriveAuth(authorizations.key, spec.label);
  const ScopedAuth auth_value(auth);
  const TPM2B_NV_PUBLIC area = Template(spec);
  NvIndex index;
  RETURN_IF_ERROR(context.CallAsOwner(Doing("defining", spec), [&] {
    return Esys_NV_DefineSpace(
        context.get(), ESYS_TR_RH_OWNER, session.EncryptingCommand(),
        ESYS_TR_NONE, ESYS_TR_NONE, &auth_value.get(), &area, &index.object);
  }));
  RETURN_IF_ERROR(SetAuth(context, index.object, auth));
  return index;
}

absl::StatusOr<Bytes> ReadNv(EsysContext& context, EsysSession& session,
                             const NvIndex& index, uint16_t size) {
  EsysPtr<TPM2B_MAX_NV_BUFFER> part;
  RETURN_IF_ERROR(context.Call("reading an NV index", [&] {
    return Esys_NV_Read(
        context.get(), index.object, index.object, session.EncryptingResponse(),
        ESYS_TR_NONE, ESYS_TR_NONE, std::min(size, kMaxPart), 0, EsysOut(part));
  }));
  if (part->size != size) {
    return absl::DataLossError("a short read of an NV index");
  }
  return Bytes(part->buffer, part->buffer + part->size);
}

absl::Status WriteNv(EsysContext& context, EsysSession& session,
                     const NvIndex& index, ByteView contents) {
  TPM2B_MAX_NV_BUFFER data{};
  if (contents.size() > kMaxPart) {
    return absl::InvalidArgumentError("an NV write that is too large");
  }
  data.size = static_cast<UINT16>(contents.size());
  std::copy(contents.begin(), contents.end(), data.buffer);
  return context.Call("writing an NV index", [&] {
    return Esys_NV_Write(context.get(), index.object, index.object,
                         session.EncryptingCommand(), ESYS_TR_NONE,
                         ESYS_TR_NONE, &data, 0);
  });
}

absl::Status IncrementNv(EsysContext& context, EsysSession& session,
                         const NvIndex& index) {
  return context.Call("counting in an NV index", [&] {
    return Esys_NV_Increment(context.get(), index.object, index.object,
                             session.Auditing(), ESYS_TR_NONE, ESYS_TR_NONE);
  });
}

}  // namespace vmattest::tpm
