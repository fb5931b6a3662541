#include "attestor/flights.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "evidence/config_tree.h"
#include "evidence/disclosure.h"
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
  const absl::Status asked = parts_.signer.ReadClock(
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
  const Key key{.vm = request.vm,
                .algorithm = request.algorithm,
                .content = request.content,
                .inside = request.inside,
                .fresh = request.fresh};
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
  MeasuredPtr measured;
  if (flown.ok()) {
    measured = std::make_shared<const Measured>(*std::move(flown));
  }
  for (const JobPtr& job : jobs) {
    absl::Status status = flown.status();
    if (status.ok()) {
      status = StillWanted(*job);
    }
    if (status.ok()) {
      status = MayDisclose(*job, *measured);
    }
    if (!status.ok()) {
      Fail(job, status);
    } else if (job->attest_done) {
      Seal(job, measured);
    } else {
      job->measure_done(ForCaller(*job, *measured));
      Done();
    }
  }
}

absl::StatusOr<Attestor::Flights::Measured> Attestor::Flights::MeasureFor(
    const Key& key, const std::vector<JobPtr>& jobs) {
  const uint64_t begun = parts_.recorder.Begin();
  ASSIGN_OR_RETURN(const hypervisor::Domain domain,
                   FindVm(parts_.hypervisor, key.vm));
  ASSIGN_OR_RETURN(SeenVm seen, SeeVm(parts_.hypervisor, domain.uuid));
  measurement::MeasureOptions options;
  options.algorithm = key.algorithm;
  options.content = key.content;
  options.inside = key.inside;
  options.fresh = key.fresh;
  ASSIGN_OR_RETURN(options.vm_salt,
                   SaltFor(parts_.store, options_.salted, domain.uuid));
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
  return Measured{.seen = std::move(seen),
                  .measurement = *std::move(measured),
                  .vm_salt = std::move(options.vm_salt)};
}

void Attestor::Flights::RecordIfComparable(
    const Key& key, const SeenVm& seen, uint64_t begun,
    const absl::StatusOr<DomainMeasurement>& measured) {
  if (key.algorithm != options_.algorithm || key.content != options_.content ||
      key.inside != options_.inside ||
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

absl::Status Attestor::Flights::MayDisclose(const Job& job,
                                            const Measured& measured) {
  const bool discloses = !job.request.leaves.empty();
  if (discloses && job.request.omit_leaves && measured.vm_salt != nullptr) {
    return absl::PermissionDeniedError(
        "its leaves are salted: only administrators may disclose them");
  }
  return absl::OkStatus();
}

DomainMeasurement Attestor::Flights::ForCaller(const Job& job,
                                               const Measured& measured) {
  if (!job.request.omit_leaves || measured.vm_salt == nullptr) {
    return measured.measurement;
  }
  // Warnings and cached paths name leaves; the header leaf has their number.
  DomainMeasurement kept;
  kept.name = measured.measurement.name;
  kept.uuid = measured.measurement.uuid;
  const ConfigTree& tree = measured.measurement.tree;
  kept.tree.algorithm = tree.algorithm;
  kept.tree.root = tree.root;
  kept.tree.leaves = {tree.leaves.front()};
  kept.tree.digests = {tree.digests.front()};
  return kept;
}

void Attestor::Flights::Seal(const JobPtr& job, const MeasuredPtr& measured) {
  const SeenVm& seen = measured->seen;
  const DomainMeasurement& measurement = measured->measurement;
  evidence::ConfigStatement statement;
  statement.header.vm_uuid = ToString(seen.domain.uuid);
  statement.header.vm_name = seen.domain.name;
  statement.header.nonce = job->request.nonce;
  statement.header.measured_at = job->measured_at;
  statement.algorithm = measurement.tree.algorithm;
  statement.leaf_count = measurement.tree.leaves.size();
  statement.root = measurement.tree.root;
  statement.salt_id =
      measured->vm_salt ? evidence::SaltId(*measured->vm_salt) : "";
  statement.content = ToString(job->request.content);
  statement.xml_kind = seen.live ? "live" : "inactive";
  statement.vm_state = hypervisor::ToString(seen.domain.state);
  statement.cached = measurement.cached;
  statement.inside = inspection::ToString(job->request.inside);
  evidence::StatementHeader header = statement.header;
  statements_.Seal(
      evidence::kConfigPayloadType, std::move(header),
      [statement = std::move(statement)](
          const evidence::StatementHeader& full) mutable {
        statement.header = full;
        return wire::EncodeConfigStatement(statement);
      },
      job->request.deadline,
      [this, job, measured](absl::StatusOr<SealedStatement> sealed) {
        if (!sealed.ok()) {
          Fail(job, Annotate(sealed.status(), "sealing"));
          return;
        }
        TakeSealed({job, measured, *std::move(sealed)});
      });
}

void Attestor::Flights::TakeSealed(Sealed sealed) {
  {
    const MutexLock lock(mutex_);
    sealed_.push_back(std::move(sealed));
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
    std::vector<Sealed> batch;
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
    for (Sealed& sealed : batch) {
      absl::StatusOr<Bytes> answer = sealed.job->request.leaves.empty()
                                         ? Encode(sealed)
                                         : EncodeDisclosure(sealed);
      if (answer.ok()) {
        if (options_.attested) {
          options_.attested(sealed.measured->measurement.uuid,
                            Hash(HashAlgorithm::kSha256, *answer));
        }
        sealed.job->attest_done(std::move(answer));
        Done();
      } else {
        Fail(sealed.job, answer.status());
      }
    }
  }
}

absl::StatusOr<Bytes> Attestor::Flights::Encode(Sealed& sealed) {
  evidence::Evidence evidence;
  evidence.envelope = std::move(sealed.statement.envelope);
  evidence.keys = std::move(sealed.statement.keys);
  const Measured& measured = *sealed.measured;
  const bool salted = measured.vm_salt != nullptr;
  if (!salted || !sealed.job->request.omit_leaves) {
    evidence.leaves = measured.measurement.tree.leaves;
    evidence.subtrees = measured.measurement.tree.subtrees;
    if (salted) {
      evidence.vm_salt = ToBytes(measured.vm_salt->Reveal(SecretAccess()));
    }
  }
  return wire::EncodeEvidence(evidence);
}

absl::StatusOr<Bytes> Attestor::Flights::EncodeDisclosure(Sealed& sealed) {
  static const SecretBytes& kPublic = *new SecretBytes();
  const Measured& measured = *sealed.measured;
  evidence::Disclosure disclosure;
  for (const std::string& path : sealed.job->request.leaves) {
    ASSIGN_OR_RETURN(evidence::DisclosedLeaf leaf,
                     evidence::Disclose(
                         measured.measurement.tree,
                         measured.vm_salt ? *measured.vm_salt : kPublic, path));
    disclosure.leaves.push_back(std::move(leaf));
  }
  disclosure.envelope = std::move(sealed.statement.envelope);
  disclosure.keys = std::move(sealed.statement.keys);
  return wire::EncodeDisclosure(disclosure);
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
