#include "kvm/process_watch.h"

namespace vmattest::kvm {

std::string_view ToString(Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kKvm:
      return "kvm";
    case Accelerator::kTcg:
      return "tcg";
    case Accelerator::kUnknown:
      return "unknown";
  }
  return "unknown";
}

}  // namespace vmattest::kvm
