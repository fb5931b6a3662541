#include "attestor/observe.h"

#include "fmt/format.h"
#include "measurement/firmware.h"
#include "measurement/live_xml.h"

namespace vmattest::attestor {
namespace {

constexpr int kAttempts = 3;

// Of a stopped domain, with the firmware that libvirt would start it with.
// Where libvirt would start none, the leaves say that it is open.
absl::StatusOr<std::string> WithItsFirmware(hypervisor::Hypervisor& hypervisor,
                                            const std::string& xml) {
  const absl::StatusOr<std::optional<std::string>> question =
      measurement::FirmwareQuestion(xml);
  if (!question.ok() || !question->has_value()) {
    return xml;  // measuring it says what is wrong
  }
  const absl::StatusOr<std::string> command =
      hypervisor.StartCommand(**question);
  if (!command.ok()) {
    return IsAboutTheVm(command.status())
               ? absl::StatusOr<std::string>(xml)
               : Annotate(command.status(), "which firmware it would have");
  }
  const absl::StatusOr<measurement::ChosenFirmware> firmware =
      measurement::FirmwareOfCommand(*command);
  return firmware.ok() ? measurement::WithFirmware(xml, *firmware) : xml;
}

}  // namespace

absl::StatusOr<hypervisor::Domain> FindVm(hypervisor::Hypervisor& hypervisor,
                                          const std::string& vm) {
  if (const absl::StatusOr<Uuid> uuid = ParseUuid(vm); uuid.ok()) {
    absl::StatusOr<hypervisor::Domain> found = hypervisor.FindDomain(*uuid);
    if (!absl::IsNotFound(found.status())) {
      return found;
    }
  }
  return hypervisor.FindDomainByName(vm);
}

absl::StatusOr<SeenVm> SeeVm(hypervisor::Hypervisor& hypervisor,
                             const Uuid& uuid) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(hypervisor::DomainXml xml, hypervisor.GetXml(uuid));
    ASSIGN_OR_RETURN(hypervisor::Domain domain, hypervisor.FindDomain(uuid));
    if (xml.live != IsActive(domain.state)) {
      continue;
    }
    if (!xml.inactive_xml.empty()) {
      ASSIGN_OR_RETURN_WITH(xml.xml,
                            measurement::AsDefined(xml.xml, xml.inactive_xml),
                            "measuring");
    } else if (!xml.live) {
      ASSIGN_OR_RETURN(xml.xml, WithItsFirmware(hypervisor, xml.xml));
    }
    return SeenVm{.domain = std::move(domain),
                  .xml = std::move(xml.xml),
                  .live = xml.live};
  }
  return absl::AbortedError("it starts and stops while it is looked at");
}

absl::StatusOr<measurement::DomainMeasurement> MeasureSeen(
    measurement::DomainMeasurer& measurer, const SeenVm& seen,
    const measurement::MeasureOptions& options) {
  measurement::MeasureOptions of_vm = options;
  of_vm.running_vm = seen.live ? ToString(seen.domain.uuid) : "";
  ASSIGN_OR_RETURN_WITH(measurement::DomainMeasurement measured,
                        measurer.Measure(seen.xml, of_vm), "measuring");
  const absl::StatusOr<Uuid> uuid = ParseUuid(measured.uuid);
  if (!uuid.ok() || *uuid != seen.domain.uuid) {
    return absl::InternalError(
        fmt::format("measuring: libvirt gave the XML of '{}' for {}",
                    measured.uuid, ToString(seen.domain.uuid)));
  }
  return measured;
}

absl::StatusOr<std::shared_ptr<const SecretBytes>> SaltFor(
    inventory::VmStore& store, const std::function<bool(const Uuid&)>& salted,
    const Uuid& uuid) {
  if (!salted || !salted(uuid)) {
    return nullptr;
  }
  ASSIGN_OR_RETURN_WITH(SecretBytes salt, store.Salt(uuid), "its salt");
  return std::make_shared<const SecretBytes>(std::move(salt));
}

inventory::VmRecord ToRecord(const hypervisor::Domain& domain) {
  return {.uuid = domain.uuid,
          .name = domain.name,
          .state = std::string(hypervisor::ToString(domain.state)),
          .persistent = domain.persistent,
          .last_measurement = std::nullopt};
}

inventory::MeasurementRecord ToRecord(
    const absl::StatusOr<measurement::DomainMeasurement>& measured,
    HashAlgorithm algorithm, std::string_view cause, const Clock& clock) {
  inventory::MeasurementRecord record{
      .algorithm = algorithm,
      .root = {},
      .leaf_count = 0,
      .time_unix_ms = clock.Now().time_since_epoch().count(),
      .cause = std::string(cause),
      .error = {}};
  if (measured.ok()) {
    record.root = measured->tree.root;
    record.leaf_count = measured->tree.leaves.size();
  } else {
    record.error = std::string(measured.status().message());
    if (record.error.empty()) {
      record.error = measured.status().ToString();
    }
  }
  return record;
}

bool IsAboutTheVm(const absl::Status& failure) {
  switch (failure.code()) {
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return false;
    default:
      return true;
  }
}

}  // namespace vmattest::attestor
