#ifndef VMATTEST_TPM_ESYS_ESYS_CONTEXT_H_
#define VMATTEST_TPM_ESYS_ESYS_CONTEXT_H_

#include <tss2/tss2_esys.h>

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "tpm/esys/esys_status.h"
#include "tpm/esys/tcti.h"

namespace vmattest::tpm {

// An ESYS context over a Tcti. One thread at a time.
class EsysContext {
 public:
  static absl::StatusOr<std::unique_ptr<EsysContext>> Open(
      std::unique_ptr<Tcti> tcti);
  EsysContext(const EsysContext&) = delete;
  EsysContext& operator=(const EsysContext&) = delete;
  ~EsysContext();

  [[nodiscard]] ESYS_CONTEXT* get() const { return esys_; }

  // Runs one Esys_ command; again, with growing pauses for about two seconds,
  // while the TPM says that it is busy. `doing` starts the error message.
  absl::Status Call(std::string_view doing,
                    const std::function<TSS2_RC()>& command);
  // The same for a command that a hierarchy authorises: a refusal is
  // kOwnerRefused.
  absl::Status CallAsOwner(std::string_view doing,
                           const std::function<TSS2_RC()>& command);
  // Of the last Call.
  [[nodiscard]] EsysFault fault() const { return fault_; }

  // Handles in use from `first` on, within its range (TPM2_GetCapability);
  // nobody altered the list if it was asked under an auditing `session`.
  absl::StatusOr<std::vector<TPM2_HANDLE>> Handles(
      TPM2_HANDLE first, ESYS_TR session = ESYS_TR_NONE);
  // Frees the objects and sessions that a crashed predecessor left in the TPM.
  // Nothing behind a resource manager, where others' would be hit.
  absl::Status FlushLeftovers();

  // The object at a TPM handle: kNoHandle in fault() if there is none.
  absl::StatusOr<ESYS_TR> Find(TPM2_HANDLE handle, std::string_view doing);
  // Gives back what Find() found. The object itself stays in the TPM.
  void Forget(ESYS_TR object);
  // TPM2B_PUBLIC, as ESYS itself uses it for salts and names: not asked from
  // the TPM again. DATA_LOSS: its name is not the one that ESYS was told.
  absl::StatusOr<Bytes> PublicArea(ESYS_TR object) const;

 private:
  struct Adapter;  // the C face of the Tcti
  explicit EsysContext(std::unique_ptr<Tcti> tcti);

  std::unique_ptr<Adapter> adapter_;
  ESYS_CONTEXT* esys_ = nullptr;
  EsysFault fault_ = EsysFault::kNone;
};

// Flushes a transient object when it goes out of scope. `context` must outlive
// it.
class TransientObject {
 public:
  TransientObject(EsysContext& context, ESYS_TR object)
      : context_(&context), object_(object) {}
  TransientObject(TransientObject&& other) noexcept;
  TransientObject& operator=(TransientObject&& other) = delete;
  ~TransientObject();

  [[nodiscard]] ESYS_TR get() const { return object_; }

 private:
  EsysContext* context_;
  ESYS_TR object_;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_ESYS_CONTEXT_H_
