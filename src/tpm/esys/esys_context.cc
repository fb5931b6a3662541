#include "tpm/esys/esys_context.h"

#include <tss2/tss2_tcti.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr std::chrono::milliseconds kFirstPause(5);
constexpr std::chrono::milliseconds kLongestPause(320);
constexpr int kBusyTries = 12;
constexpr uint32_t kMaxHandles = 64;
constexpr int kMaxHandleParts = 16;
constexpr uint32_t kKeyResource = 1;  // IESYSC_KEY_RSRC

}  // namespace

struct EsysContext::Adapter {
  TSS2_TCTI_CONTEXT_COMMON_V1 common{};
  std::unique_ptr<Tcti> tcti;
  absl::Status last_error;

  static Adapter& From(TSS2_TCTI_CONTEXT* context) {
    return *reinterpret_cast<Adapter*>(context);
  }

  static TSS2_RC Transmit(TSS2_TCTI_CONTEXT* context, size_t size,
                          const uint8_t* command) {
    Adapter& self = From(context);
    self.last_error = self.tcti->Transmit(ByteView(command, size));
    return self.last_error.ok() ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
  }

  static TSS2_RC Receive(TSS2_TCTI_CONTEXT* context, size_t* size,
                         uint8_t* response, int32_t) {
    if (response == nullptr) {
      *size = kMaxTpmMessage;
      return TSS2_RC_SUCCESS;
    }
    Adapter& self = From(context);
    absl::StatusOr<Bytes> received = self.tcti->Receive();
    if (!received.ok()) {
      self.last_error = std::move(received).status();
      return TSS2_TCTI_RC_IO_ERROR;
    }
    if (received->size() > *size) {
      return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    }
    std::copy(received->begin(), received->end(), response);
    *size = received->size();
    return TSS2_RC_SUCCESS;
  }
};

EsysContext::EsysContext(std::unique_ptr<Tcti> tcti)
    : adapter_(std::make_unique<Adapter>()) {
  static_assert(offsetof(Adapter, common) == 0);
  adapter_->tcti = std::move(tcti);
  adapter_->common.magic = 0x766D617474657374;  // "vmattest"
  adapter_->common.version = 1;
  adapter_->common.transmit = Adapter::Transmit;
  adapter_->common.receive = Adapter::Receive;
}

EsysContext::~EsysContext() { Esys_Finalize(&esys_); }

absl::StatusOr<std::unique_ptr<EsysContext>> EsysContext::Open(
    std::unique_ptr<Tcti> tcti) {
  std::unique_ptr<EsysContext> context(new EsysContext(std::move(tcti)));
  auto* raw = reinterpret_cast<TSS2_TCTI_CONTEXT*>(context->adapter_.get());
  RETURN_IF_ERROR(context->Call("opening the TPM", [&] {
    return Esys_Initialize(&context->esys_, raw, nullptr);
  }));
  return context;
}

absl::Status EsysContext::Call(std::string_view doing,
                               const std::function<TSS2_RC()>& command) {
  auto pause = kFirstPause;
  TSS2_RC code = command();
  fault_ = ClassifyFault(code);
  for (int i = 1; fault_ == EsysFault::kBusy && i < kBusyTries; ++i) {
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kLongestPause);
    code = command();
    fault_ = ClassifyFault(code);
  }
  if (fault_ == EsysFault::kNone) {
    return absl::OkStatus();
  }
  if (fault_ == EsysFault::kGone && !adapter_->last_error.ok()) {
    return Annotate(adapter_->last_error, doing);
  }
  return ToStatus(code, doing);
}

absl::Status EsysContext::CallAsOwner(std::string_view doing,
                                      const std::function<TSS2_RC()>& command) {
  absl::Status status = Call(doing, command);
  if (fault_ == EsysFault::kRefused) {
    fault_ = EsysFault::kOwnerRefused;
  }
  return status;
}

absl::StatusOr<std::vector<TPM2_HANDLE>> EsysContext::Handles(TPM2_HANDLE first,
                                                              ESYS_TR session) {
  const TPM2_HANDLE range = first & TPM2_HR_RANGE_MASK;
  std::vector<TPM2_HANDLE> found;
  for (int part = 0; part < kMaxHandleParts; ++part) {
    TPMI_YES_NO more = TPM2_NO;
    EsysPtr<TPMS_CAPABILITY_DATA> data;
    RETURN_IF_ERROR(Call("listing handles", [&] {
      return Esys_GetCapability(esys_, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                TPM2_CAP_HANDLES, first, kMaxHandles, &more,
                                EsysOut(data));
    }));
    const TPML_HANDLE& handles = data->data.handles;
    for (uint32_t i = 0;
         i < std::min<uint32_t>(handles.count, TPM2_MAX_CAP_HANDLES); ++i) {
      if ((handles.handle[i] & TPM2_HR_RANGE_MASK) != range) {
        return found;
      }
      found.push_back(handles.handle[i]);
    }
    if (more == TPM2_NO || found.empty()) {
      break;
    }
    first = found.back() + 1;
  }
  return found;
}

absl::Status EsysContext::FlushLeftovers() {
  if (adapter_->tcti->managed()) {
    return absl::OkStatus();
  }
  for (const TPM2_HANDLE range :
       {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST,
        TPM2_ACTIVE_SESSION_FIRST}) {
    ASSIGN_OR_RETURN(const std::vector<TPM2_HANDLE> handles, Handles(range));
    for (const TPM2_HANDLE listed : handles) {
      // Saved sessions are listed in a range of their own (Part 2, 7.4).
      const TPM2_HANDLE handle =
          range == TPM2_ACTIVE_SESSION_FIRST
              ? (listed & ~TPM2_HR_RANGE_MASK) | TPM2_HMAC_SESSION_FIRST
              : listed;
      absl::StatusOr<ESYS_TR> object = Find(handle, "finding a leftover");
      if (!object.ok()) {
        if (fault_ == EsysFault::kNoHandle) {
          continue;
        }
        return std::move(object).status();
      }
      RETURN_IF_ERROR(Call("flushing a leftover",
                           [&] { return Esys_FlushContext(esys_, *object); }));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ESYS_TR> EsysContext::Find(TPM2_HANDLE handle,
                                          std::string_view doing) {
  ESYS_TR object = ESYS_TR_NONE;
  RETURN_IF_ERROR(Call(doing, [&] {
    return Esys_TR_FromTPMPublic(esys_, handle, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &object);
  }));
  return object;
}

void EsysContext::Forget(ESYS_TR object) {
  (void)Esys_TR_Close(esys_, &object);
}

absl::StatusOr<Bytes> EsysContext::PublicArea(ESYS_TR object) const {
  EsysPtr<uint8_t> blob;
  size_t size = 0;
  const TSS2_RC code = Esys_TR_Serialize(esys_, object, EsysOut(blob), &size);
  if (code != TSS2_RC_SUCCESS) {
    return ToStatus(code, "reading a key's public area");
  }
  // IESYS_RESOURCE: TPM handle, name, type, then the public area.
  ByteReader reader(ByteView(blob.get(), size));
  reader.U32();
  const ByteView name = reader.Raw(reader.U16());
  const uint32_t type = reader.U32();
  const Bytes area = ToBytes(reader.Raw(reader.remaining()));
  if (!reader.ok() || type != kKeyResource) {
    return absl::InternalError("tpm2-tss keeps objects in an unknown form");
  }
  const absl::StatusOr<Bytes> computed = evidence::NameOf(area);
  if (!computed.ok()) {
    return absl::FailedPreconditionError(
        "an object whose name is made with an unknown hash");
  }
  if (!std::equal(computed->begin(), computed->end(), name.begin(),
                  name.end())) {
    return absl::DataLossError(
        "a key's public area and its name do not belong together");
  }
  return area;
}

TransientObject::TransientObject(TransientObject&& other) noexcept
    : context_(other.context_),
      object_(std::exchange(other.object_, ESYS_TR_NONE)) {}

TransientObject::~TransientObject() {
  if (object_ != ESYS_TR_NONE && context_->fault() != EsysFault::kGone) {
    // Where this fails, the next opening flushes leftovers.
    (void)Esys_FlushContext(context_->get(), object_);
  }
}

}  // namespace vmattest::tpm
