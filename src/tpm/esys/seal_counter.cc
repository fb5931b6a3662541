#include "tpm/esys/seal_counter.h"

#include <algorithm>

#include "fmt/format.h"
#include "tpm/esys/handles.h"
#include "tpm/esys/scoped_auth.h"

namespace vmattest::tpm {
namespace {

constexpr std::string_view kCounterLabel = "seal-counter";
constexpr UINT16 kCounterSize = 8;
// Non-orderly: what it counted survives any way of losing power.
constexpr TPMA_NV kAttributes = TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT |
                                TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE |
                                TPMA_NV_OWNERREAD | TPMA_NV_NO_DA;

absl::Status Define(const SealTools& tools) {
  EsysContext& context = tools.context;
  RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_OWNER, tools.owner_auth));
  const ScopedAuth auth(DeriveAuth(tools.key_auth, kCounterLabel));
  TPM2B_NV_PUBLIC area{};
  area.nvPublic.nvIndex = tools.counter;
  area.nvPublic.nameAlg = TPM2_ALG_SHA256;
  area.nvPublic.attributes = kAttributes;
  area.nvPublic.dataSize = kCounterSize;
  ESYS_TR index = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.CallAsOwner("defining the seal counter", [&] {
    return Esys_NV_DefineSpace(context.get(), ESYS_TR_RH_OWNER,
                               tools.session.EncryptingCommand(), ESYS_TR_NONE,
                               ESYS_TR_NONE, &auth.get(), &area, &index);
  }));
  context.Forget(index);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SealCounter> SealCounter::Open(const SealTools& tools) {
  absl::StatusOr<ESYS_TR> found =
      tools.context.Find(tools.counter, "finding the seal counter");
  if (!found.ok() && tools.context.fault() == EsysFault::kNoHandle) {
    return absl::FailedPreconditionError(fmt::format(
        "there is no seal counter at NV index {:#x}", tools.counter));
  }
  RETURN_IF_ERROR(found.status());
  SealCounter counter(tools, *found);
  RETURN_IF_ERROR(SetAuth(tools.context, *found,
                          DeriveAuth(tools.key_auth, kCounterLabel)));
  return counter;
}

SealCounter::~SealCounter() {
  if (index_ != ESYS_TR_NONE) {
    tools_->context.Forget(index_);
  }
}

absl::StatusOr<uint64_t> SealCounter::Read() const {
  EsysContext& context = tools_->context;
  EsysPtr<TPM2B_MAX_NV_BUFFER> data;
  // Its authorisation may be wrong where nothing was altered on the way.
  RETURN_IF_ERROR(context.CallAsOwner("reading the seal counter", [&] {
    return Esys_NV_Read(context.get(), index_, index_,
                        tools_->session.EncryptingResponse(), ESYS_TR_NONE,
                        ESYS_TR_NONE, kCounterSize, 0, EsysOut(data));
  }));
  ByteReader reader(
      ByteView(data->buffer, std::min<size_t>(data->size, kCounterSize)));
  const uint64_t value = reader.U64();
  if (!reader.ok()) {
    return absl::DataLossError("a short read of the seal counter");
  }
  return value;
}

absl::StatusOr<Bytes> SealCounter::Name() const {
  EsysContext& context = tools_->context;
  EsysPtr<TPM2B_NAME> name;
  RETURN_IF_ERROR(context.Call("naming the seal counter", [&] {
    return Esys_TR_GetName(context.get(), index_, EsysOut(name));
  }));
  return Bytes(name->name, name->name + name->size);
}

absl::Status SealCounter::Increment() const {
  EsysContext& context = tools_->context;
  return context.CallAsOwner("incrementing the seal counter", [&] {
    return Esys_NV_Increment(context.get(), index_, index_,
                             tools_->session.Auditing(), ESYS_TR_NONE,
                             ESYS_TR_NONE);
  });
}

absl::StatusOr<bool> SealCounter::HasCounted() const {
  EsysContext& context = tools_->context;
  EsysPtr<TPM2B_NV_PUBLIC> area;
  RETURN_IF_ERROR(context.Call("looking at the seal counter", [&] {
    return Esys_NV_ReadPublic(
        context.get(), index_, tools_->session.EncryptingResponse(),
        ESYS_TR_NONE, ESYS_TR_NONE, EsysOut(area), nullptr);
  }));
  const TPMS_NV_PUBLIC& found = area->nvPublic;
  if ((found.attributes & ~TPMA_NV_WRITTEN) != kAttributes ||
      found.nameAlg != TPM2_ALG_SHA256 || found.authPolicy.size != 0 ||
      found.dataSize != kCounterSize) {
    return absl::FailedPreconditionError(
        fmt::format("NV index {:#x} is not vmattest's seal counter: choose "
                    "another one, or remove it",
                    tools_->counter));
  }
  return (found.attributes & TPMA_NV_WRITTEN) != 0;
}

absl::Status EnsureSealCounter(const SealTools& tools) {
  const absl::StatusOr<ESYS_TR> found =
      tools.context.Find(tools.counter, "finding the seal counter");
  if (found.ok()) {
    tools.context.Forget(*found);
  } else if (tools.context.fault() == EsysFault::kNoHandle) {
    RETURN_IF_ERROR(Define(tools));
  } else {
    return found.status();
  }
  ASSIGN_OR_RETURN(const SealCounter counter, SealCounter::Open(tools));
  ASSIGN_OR_RETURN(const bool counted, counter.HasCounted());
  const absl::Status usable =
      counted ? counter.Read().status() : counter.Increment();
  if (!usable.ok() && tools.context.fault() == EsysFault::kOwnerRefused) {
    return absl::FailedPreconditionError(
        fmt::format("the seal counter at {:#x} has another authorisation: it "
                    "was made with another one than is configured",
                    tools.counter));
  }
  return usable;
}

absl::StatusOr<uint64_t> VoidApprovals(const SealTools& tools) {
  ASSIGN_OR_RETURN(const SealCounter counter, SealCounter::Open(tools));
  RETURN_IF_ERROR(counter.Increment());
  return counter.Read();
}

}  // namespace vmattest::tpm
