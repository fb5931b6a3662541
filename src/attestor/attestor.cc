#include "attestor/attestor.h"

#include <map>
#include <utility>

#include "attestor/flights.h"
#include "attestor/observe.h"
#include "fmt/format.h"

namespace vmattest::attestor {
namespace {

using inventory::VmRecord;

constexpr std::string_view kUndefined = "undefined";
constexpr size_t kPage = 500;

// What the store remembers of a VM of that UUID or name.
absl::StatusOr<VmRecord> Remembered(inventory::VmStore& store,
                                    const std::string& vm) {
  if (const absl::StatusOr<Uuid> uuid = ParseUuid(vm); uuid.ok()) {
    ASSIGN_OR_RETURN(std::optional<VmRecord> found, store.Find(*uuid));
    if (found) {
      return *std::move(found);
    }
  }
  // One that is there goes before those that are gone.
  std::vector<VmRecord> present;
  std::vector<VmRecord> gone;
  std::optional<Uuid> after;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<VmRecord> page,
                     store.List(after, kPage));
    for (const VmRecord& record : page) {
      if (record.name == vm) {
        (record.state == kUndefined ? gone : present).push_back(record);
      }
    }
    if (page.size() < kPage) {
      break;
    }
    after = page.back().uuid;
  }
  const std::vector<VmRecord>& named = present.empty() ? gone : present;
  if (named.empty()) {
    return absl::NotFoundError(fmt::format("no VM '{}'", vm));
  }
  if (named.size() > 1) {
    return absl::InvalidArgumentError(fmt::format(
        "{} VMs had the name '{}': give the UUID", named.size(), vm));
  }
  return named.front();
}

}  // namespace

Attestor::Attestor(Parts parts, Options options)
    : statements_(std::make_unique<StatementSealer>(
          parts.signer, parts.clock,
          StatementSealer::Options{.unmanaged = options.unmanaged})),
      host_log_(std::make_unique<HostLogExport>(
          parts.signer, *statements_, parts.requests, options.host_log)),
      flights_(
          std::make_unique<Flights>(parts, std::move(options), *statements_)),
      parts_(parts) {}

Attestor::~Attestor() = default;

absl::StatusOr<VmRecord> Attestor::GetVm(const std::string& vm) {
  const absl::StatusOr<hypervisor::Domain> domain =
      FindVm(parts_.hypervisor, vm);
  if (!domain.ok()) {
    if (absl::IsNotFound(domain.status()) ||
        absl::IsUnavailable(domain.status())) {
      absl::StatusOr<VmRecord> remembered = Remembered(parts_.store, vm);
      if (remembered.ok() && absl::IsNotFound(domain.status())) {
        remembered->state = kUndefined;
      }
      return remembered;
    }
    return domain.status();
  }
  VmRecord record = ToRecord(*domain);
  ASSIGN_OR_RETURN(std::optional<VmRecord> remembered,
                   parts_.store.Find(domain->uuid));
  if (remembered) {
    record.last_measurement = std::move(remembered->last_measurement);
  }
  return record;
}

absl::StatusOr<std::vector<VmRecord>> Attestor::ListVms(
    const std::optional<Uuid>& after, size_t limit) {
  const absl::StatusOr<std::vector<hypervisor::Domain>> domains =
      parts_.hypervisor.ListDomains();
  if (!domains.ok() && !absl::IsUnavailable(domains.status())) {
    return domains.status();
  }
  ASSIGN_OR_RETURN(std::vector<VmRecord> stored,
                   parts_.store.List(after, limit));
  if (!domains.ok()) {
    return stored;
  }
  // Of both lists the first `limit`: a VM past the end of the stored page
  // cannot come before one in it.
  std::map<Uuid, VmRecord> merged;
  for (const hypervisor::Domain& domain : *domains) {
    if (!after || domain.uuid > *after) {
      merged.emplace(domain.uuid, ToRecord(domain));
    }
  }
  for (VmRecord& record : stored) {
    const auto [known, gone] = merged.try_emplace(record.uuid, record);
    if (gone) {
      known->second.state = kUndefined;
    } else {
      known->second.last_measurement = std::move(record.last_measurement);
    }
  }
  std::vector<VmRecord> page;
  for (auto& [uuid, record] : merged) {
    if (page.size() == limit) {
      break;
    }
    page.push_back(std::move(record));
  }
  return page;
}

void Attestor::MeasureConfig(
    ConfigRequest request,
    std::function<void(absl::StatusOr<measurement::DomainMeasurement>)> done) {
  flights_->Measure(std::move(request), std::move(done));
}

void Attestor::AttestConfig(ConfigRequest request,
                            std::function<void(absl::StatusOr<Bytes>)> done) {
  flights_->Attest(std::move(request), std::move(done));
}

void Attestor::Disclose(ConfigRequest request,
                        std::function<void(absl::StatusOr<Bytes>)> done) {
  if (request.leaves.empty()) {
    done(absl::InvalidArgumentError("no leaf to disclose"));
    return;
  }
  flights_->Attest(std::move(request), std::move(done));
}

void Attestor::HostLog(Bytes nonce, MonotonicTime deadline, HostLogDone done) {
  host_log_->Make(std::move(nonce), deadline, std::move(done));
}

absl::StatusOr<evidence::HostIdentity> Attestor::HostIdentity() {
  signing::SignerState state = parts_.signer.state();
  if (!state.identity) {
    return state.tpm.ok()
               ? absl::UnavailableError("the TPM was not reached yet")
               : state.tpm;
  }
  return *std::move(state.identity);
}

}  // namespace vmattest::attestor
