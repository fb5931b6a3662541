#include "attestor/flights.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "wire/codec.h"

namespace vmattest::attestor {

using measurement::DomainMeasurement;

Attestor::Flights::~Flights() {
  const MutexLock lock(mutex_);
  while (pending_ > 0) {
    idle_.Wait(mutex_);
  }
}

void Attestor::Flights::Measure(ConfigRequest request, MeasureDone done) {
  auto job = std::make_shared<Job>();
  job->clause = fmt::format("measuring vm {}", request.vm);
  job->request = std::move(request);
  job->measure_done = std::move(done);
  if (Admit(job)) {
    Board(job);
  }
}

void Attestor::Flights::Attest(ConfigRequest request, AttestDone done) {
  auto job = std::make_shared<Job>();
  job->clause = fmt::format("attesting vm {}", request.vm);
  job->request = std::move(request);
  job->attest_done = std::move(done);
  if (!Admit(job)) {
    return;
  }
  const size_t nonce = job->request.nonce.size();
  if (nonce != 0 &&
      (nonce < evidence::kMinNonceSize || nonce > evidence::kMaxNonceSize)) {
    Fail(job, absl::InvalidArgumentError(fmt::format(
                  "a nonce of {} bytes: it has 16 to 64, or none", nonce)));
    return;
  }
  const absl::Status asked = parts_.sealer.ReadClock(
      job->request.deadline, [this, job](absl::StatusOr<TpmClock> clock) {
        if (!clock.ok()) {
          Fail(job, Annotate(clock.status(), "reading the TPM's clock"));
          return;
        }
        job->measured_at = *clock;
        Board(job);
      });
  if (!asked.ok()) {
    Fail(job, Annotate(asked, "reading the TPM's clock"));
  }
}

bool Attestor::Flights::Admit(const JobPtr& job) {
  bool admitted = false;
  {
    const MutexLock lock(mutex_);
    admitted = pending_ < options_.max_pending;
    ++pending_;
  }
  if (!admitted) {
    Fail(job, absl::ResourceExhaustedError(fmt::format(
                  "{} requests are pending", options_.max_pending)));
  }
  return admitted;
}

void Attestor::Flights::Board(const JobPtr& job) {
  const ConfigRequest& request = job->request;
  const Key key(request.vm, request.algorithm, request.content, request.fresh);
  {
    const MutexLock lock(mutex_);
    std::vector<JobPtr>& boarding = boarding_[key];
    boarding.push_back(job);
    if (boarding.size() > 1) {
      return;
    }
  }
  const absl::Status submitted =
      parts_.requests.Submit([this, key] { Fly(key); });
  if (submitted.ok()) {
    return;
  }
  std::vector<JobPtr> stranded;
  {
    const MutexLock lock(mutex_);
    stranded = std::move(boarding_[key]);
    boarding_.erase(key);
  }
  for (const JobPtr& left : stranded) {
    Fail(left, submitted);
  }
}

void Attestor::Flights::Fly(const Key& key) {
  std::vector<JobPtr> boarded;
  {
    const MutexLock lock(mutex_);
    boarded = std::move(boarding_[key]);
    boarding_.erase(key);
  }
  std::vector<JobPtr> jobs;
  for (const JobPtr& job : boarded) {
    if (const absl::Status wanted = StillWanted(*job); wanted.ok()) {
      jobs.push_back(job);
    } else {
      Fail(job, wanted);
    }
  }
  if (jobs.empty()) {
    return;
  }
  absl::StatusOr<Measured> flown = MeasureFor(key, jobs);
  const absl::StatusOr<evidence::HostIdentity> identity =
      parts_.sealer.Identity();
  std::shared_ptr<const Measured> measured;
  if (flown.ok()) {
    measured = std::make_shared<const Measured>(*std::move(flown));
  }
  for (const JobPtr& job : jobs) {
    absl::Status status = flown.status();
    if (status.ok()) {
      status = StillWanted(*job);
    }
    if (status.ok() && job->attest_done) {
      status = identity.status();
    }
    if (!status.ok()) {
      Fail(job, status);
    } else if (job->attest_done) {
      Seal(job, measured, identity->host_id);
    } else {
      job->measure_done(measured->measurement);
      Done();
    }
  }
}

absl::StatusOr<Attestor::Flights::Measured> Attestor::Flights::MeasureFor(
    const Key& key, const std::vector<JobPtr>& jobs) {
  const uint64_t begun = parts_.recorder.Begin();
  ASSIGN_OR_RETURN(const hypervisor::Domain domain,
                   FindVm(parts_.hypervisor, std::get<0>(key)));
  ASSIGN_OR_RETURN(SeenVm seen, SeeVm(parts_.hypervisor, domain.uuid));
  measurement::MeasureOptions options;
  options.algorithm = std::get<1>(key);
  options.content = std::get<2>(key);
  options.fresh = std::get<3>(key);
  options.progress = parts_.recorder.Progress(domain.uuid, domain.name);
  options.cancelled = [this, &jobs] {
    return std::none_of(jobs.begin(), jobs.end(), [this](const JobPtr& job) {
      return StillWanted(*job).ok();
    });
  };
  absl::StatusOr<DomainMeasurement> measured =
      MeasureSeen(parts_.measurer, seen, options);
  RecordIfComparable(key, seen, begun, measured);
  RETURN_IF_ERROR(measured.status());
  return Measured{.seen = std::move(seen), .measurement = *std::move(measured)};
}

void Attestor::Flights::RecordIfComparable(
    const Key& key, const SeenVm& seen, uint64_t begun,
    const absl::StatusOr<DomainMeasurement>& measured) {
  if (std::get<1>(key) != options_.algorithm ||
      std::get<2>(key) != options_.content ||
      (!measured.ok() && !IsAboutTheVm(measured.status()))) {
    return;
  }
  const auto outcome = parts_.recorder.Record(
      {.vm = ToRecord(seen.domain),
       .kind = "reconciled",
       .measurement =
           ToRecord(measured, options_.algorithm, "request", parts_.clock),
       .begun = begun,
       .only_if_changed = true});
  if (!outcome.ok()) {
    log::Warning(
        "a measurement was not recorded",
        {{"vm", seen.domain.name}, {"error", outcome.status().ToString()}});
  }
}

void Attestor::Flights::Seal(const JobPtr& job,
                             const std::shared_ptr<const Measured>& measured,
                             const std::string& host_id) {
  const SeenVm& seen = measured->seen;
  const DomainMeasurement& measurement = measured->measurement;
  evidence::ConfigStatement statement;
  statement.header.module_version = VMATTEST_VERSION;
  statement.header.host_id = host_id;
  statement.header.vm_uuid = ToString(seen.domain.uuid);
  statement.header.vm_name = seen.domain.name;
  statement.header.nonce = job->request.nonce;
  statement.header.time_unix_ms = parts_.clock.Now().time_since_epoch().count();
  statement.header.measured_at = job->measured_at;
  statement.header.signature_algorithms = {
      std::string(evidence::kTpmQuoteAlgorithm)};
  statement.header.sequence = ++sequence_;
  statement.algorithm = measurement.tree.algorithm;
  statement.leaf_count = measurement.tree.leaves.size();
  statement.root = measurement.tree.root;
  statement.content = ToString(job->request.content);
  statement.xml_kind = seen.live ? "live" : "inactive";
  statement.vm_state = hypervisor::ToString(seen.domain.state);
  statement.cached = measurement.cached;

  auto sealing = std::make_shared<Sealing>();
  sealing->job = job;
  sealing->measured = measured;
  sealing->host_id = host_id;
  sealing->envelope.payload_type = evidence::kConfigPayloadType;
  sealing->envelope.payload = wire::EncodeConfigStatement(statement);
  const Bytes encoding = evidence::PreAuthEncoding(
      sealing->envelope.payload_type, sealing->envelope.payload);
  const absl::Status queued = parts_.sealer.Seal(
      KeyPurpose::kConfig, Hash(HashAlgorithm::kSha256, encoding),
      job->request.deadline,
      [this, sealing](absl::StatusOr<evidence::TpmQuoteSignature> signature) {
        Sealed(sealing, std::move(signature));
      });
  if (!queued.ok()) {
    Fail(job, Annotate(queued, "sealing"));
  }
}

void Attestor::Flights::Sealed(
    std::shared_ptr<Sealing> sealing,
    absl::StatusOr<evidence::TpmQuoteSignature> signature) {
  if (!signature.ok()) {
    Fail(sealing->job, Annotate(signature.status(), "sealing"));
    return;
  }
  sealing->envelope.signatures.push_back(
      {.algorithm = std::string(evidence::kTpmQuoteAlgorithm),
       .body = *std::move(signature)});
  {
    const MutexLock lock(mutex_);
    sealed_.push_back(std::move(sealing));
    if (encoding_) {
      return;
    }
    encoding_ = true;
    ++pending_;  // the encoding itself, which outlives the last request
  }
  // A signature is not thrown away because `requests` is full: the rest is
  // then done here.
  if (!parts_.requests.Submit([this] { EncodeSealed(); }).ok()) {
    EncodeSealed();
  }
}

void Attestor::Flights::EncodeSealed() {
  while (true) {
    std::vector<std::shared_ptr<Sealing>> batch;
    {
      const MutexLock lock(mutex_);
      batch = std::exchange(sealed_, {});
      if (batch.empty()) {
        encoding_ = false;
        --pending_;
        idle_.NotifyAll();
        return;
      }
    }
    const absl::StatusOr<evidence::HostIdentity> identity =
        parts_.sealer.Identity();
    for (const std::shared_ptr<Sealing>& sealing : batch) {
      absl::StatusOr<Bytes> evidence =
          identity.ok() ? Encode(*sealing, *identity) : identity.status();
      if (evidence.ok()) {
        sealing->job->attest_done(std::move(evidence));
        Done();
      } else {
        Fail(sealing->job, evidence.status());
      }
    }
  }
}

absl::StatusOr<Bytes> Attestor::Flights::Encode(
    Sealing& sealing, const evidence::HostIdentity& identity) const {
  if (identity.host_id != sealing.host_id) {
    return absl::AbortedError("the TPM was replaced meanwhile");
  }
  const auto& signature = std::get<evidence::TpmQuoteSignature>(
      sealing.envelope.signatures.front().body);
  evidence::Evidence evidence;
  for (const evidence::KeyCertification& key : identity.keys) {
    if (key.purpose != KeyPurpose::kConfig) {
      continue;
    }
    ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(key.public_area));
    if (name == signature.key_name) {
      evidence.keys.push_back(key);
    }
  }
  if (evidence.keys.empty()) {
    return absl::AbortedError("the config key was replaced meanwhile");
  }
  evidence.envelope = std::move(sealing.envelope);
  evidence.leaves = sealing.measured->measurement.tree.leaves;
  return wire::EncodeEvidence(evidence);
}

absl::Status Attestor::Flights::StillWanted(const Job& job) const {
  if (job.request.cancelled && job.request.cancelled()) {
    return absl::CancelledError("the caller gave up");
  }
  if (parts_.clock.Monotonic() >= job.request.deadline) {
    return absl::DeadlineExceededError("no time left");
  }
  return absl::OkStatus();
}

void Attestor::Flights::Fail(const JobPtr& job, const absl::Status& status) {
  const absl::Status annotated = Annotate(status, job->clause);
  if (job->attest_done) {
    job->attest_done(annotated);
  } else {
    job->measure_done(annotated);
  }
  Done();
}

void Attestor::Flights::Done() {
  const MutexLock lock(mutex_);
  --pending_;
  idle_.NotifyAll();
}

}  // namespace vmattest::attestor
