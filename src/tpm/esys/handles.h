#ifndef VMATTEST_TPM_ESYS_HANDLES_H_
#define VMATTEST_TPM_ESYS_HANDLES_H_

#include <tss2/tss2_esys.h>

#include <memory>

#include "base/handles.h"

namespace vmattest::tpm {

// What an Esys_ call allocated.
template <class T>
using EsysPtr = std::unique_ptr<T, Closer<Esys_Free>>;

// Receives an output parameter: Esys_X(..., EsysOut(pointer)).
template <class T>
class EsysOut {
 public:
  explicit EsysOut(EsysPtr<T>& target) : target_(target) {}
  EsysOut(const EsysOut&) = delete;
  EsysOut& operator=(const EsysOut&) = delete;
  ~EsysOut() { target_.reset(raw_); }
  // NOLINTNEXTLINE(google-explicit-constructor): that is its purpose.
  operator T**() { return &raw_; }

 private:
  EsysPtr<T>& target_;
  T* raw_ = nullptr;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_HANDLES_H_
