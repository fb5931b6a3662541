#ifndef VMATTEST_ATTESTOR_OBSERVE_H_
#define VMATTEST_ATTESTOR_OBSERVE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/secret_bytes.h"
#include "hypervisor/hypervisor.h"
#include "inventory/vm_store.h"
#include "measurement/domain_measurer.h"

namespace vmattest::attestor {

// A VM as it is at one moment: state and definition belong together.
struct SeenVm {
  hypervisor::Domain domain;
  std::string xml;  // what is measured
  bool live = false;
};

// `vm` is a UUID or, where none has it, a name. Errors as the port's.
absl::StatusOr<hypervisor::Domain> FindVm(hypervisor::Hypervisor& hypervisor,
                                          const std::string& vm);

// ABORTED: it starts and stops all the time. Else as the port's.
absl::StatusOr<SeenVm> SeeVm(hypervisor::Hypervisor& hypervisor,
                             const Uuid& uuid);

// Measures it. Errors as DomainMeasurer::Measure, after "measuring: ".
absl::StatusOr<measurement::DomainMeasurement> MeasureSeen(
    measurement::DomainMeasurer& measurer, const SeenVm& seen,
    const measurement::MeasureOptions& options);

// The salt of the VM's leaves; null if `salted` (may be empty) does not list
// it. Errors as the store's.
absl::StatusOr<std::shared_ptr<const SecretBytes>> SaltFor(
    inventory::VmStore& store, const std::function<bool(const Uuid&)>& salted,
    const Uuid& uuid);

// For the store.
inventory::VmRecord ToRecord(const hypervisor::Domain& domain);
inventory::MeasurementRecord ToRecord(
    const absl::StatusOr<measurement::DomainMeasurement>& measured,
    HashAlgorithm algorithm, std::string_view cause, const Clock& clock);

// True for what says something about the VM; false for what stopped the
// measuring (cancelled, too late, no hypervisor): that is not recorded.
bool IsAboutTheVm(const absl::Status& failure);

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_OBSERVE_H_
