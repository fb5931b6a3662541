#include "verification/appraiser.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "crypto/digest.h"
#include "evidence/evidence.h"
#include "fmt/format.h"
#include "wire/codec.h"

namespace vmattest::verification {
namespace {

constexpr size_t kNonceSize = 32;
constexpr size_t kTokenIdSize = 16;
constexpr char kClassic[] = "ES256";
constexpr char kHybrid[] = "ES256 ML-DSA-65";
constexpr size_t kMostHostsAsked = 16;
constexpr size_t kMostVmsOfHost = 4096;
constexpr size_t kMostPolicyBytes = 16u << 20;
constexpr size_t kEvidencePage = 32;

appraisal::Decision Refused(Reason reason, WallTime now) {
  appraisal::Decision decision;
  decision.expires = now + appraisal::kRefusalLifetime;
  decision.verdict.reasons.push_back(std::move(reason));
  decision.fixes.emplace_back();
  return decision;
}

std::string NameOf(const appraisal::Decision& decision) {
  return decision.reference_name.empty()
             ? ""
             : fmt::format("{}@{}", decision.reference_name,
                           decision.reference_revision);
}

DecisionEntry ToEntry(const appraisal::Decision& decision,
                      const std::string& asked_vm, WallTime now) {
  DecisionEntry entry;
  entry.time_unix_ms = now.time_since_epoch().count();
  // What nobody vouches for is listed with the VM that was asked about.
  entry.vm_uuid =
      decision.genuine || asked_vm.empty() ? decision.claims.vm_uuid : asked_vm;
  entry.vm_name = decision.claims.vm_name;
  entry.host_id = decision.claims.host_id;
  entry.trusted = decision.verdict.trusted();
  entry.genuine = decision.genuine;
  entry.reasons = decision.verdict.reasons;
  entry.fixes = decision.fixes;
  entry.fixes.resize(entry.reasons.size());
  entry.reference = NameOf(decision);
  entry.root = ToBytes(ByteView(decision.claims.root));
  return entry;
}

}  // namespace

absl::StatusOr<Appraiser::About> Appraiser::Peek(ByteView evidence) {
  ASSIGN_OR_RETURN(const evidence::Evidence parsed,
                   wire::ParseEvidence(evidence));
  ASSIGN_OR_RETURN(const evidence::ConfigStatement statement,
                   wire::ParseConfigStatement(parsed.envelope.payload));
  return About{statement.header.host_id, statement.header.vm_uuid,
               statement.header.vm_name};
}

// With the anchors of the one host that it names, and the references of the
// one VM, so its time does not depend on how many there are.
absl::StatusOr<appraisal::Decision> Appraiser::Decide(
    const appraisal::Request& request, WallTime now) {
  const absl::StatusOr<About> about = Peek(request.evidence);
  if (!about.ok()) {
    return Refused({"evidence-malformed", "evidence", "",
                    std::string(about.status().message())},
                   now);
  }
  ASSIGN_OR_RETURN(const HostAnchors::Found host,
                   parts_.hosts.Find(about->host_id));
  if (host.anchors == nullptr) {
    appraisal::Decision decision = Refused(host.reason, now);
    decision.claims.host_id = about->host_id;
    decision.claims.vm_uuid = about->vm_uuid;
    decision.claims.vm_name = about->vm_name;
    return decision;
  }
  ASSIGN_OR_RETURN(const std::vector<reference::Reference> references,
                   parts_.references.For(about->vm_uuid, now));
  return appraisal::Appraise(request, *host.anchors, references, now);
}

absl::StatusOr<Appraiser::Result> Appraiser::Appraise(const Request& request) {
  const WallTime now = parts_.clock.Now();
  appraisal::Request wanted{.evidence = request.evidence};
  if (request.nonce.empty()) {
    wanted.max_age = options_.max_age;
  } else {
    wanted.nonce = request.nonce;
  }
  if (!request.vm_uuid.empty()) {
    wanted.vm_uuid = request.vm_uuid;
  }
  wanted.host_id = request.host_id;
  ASSIGN_OR_RETURN(const appraisal::Decision decision, Decide(wanted, now));
  Result result;
  result.decision = ToEntry(decision, request.vm_uuid, now);
  if (request.host_id && *request.host_id != decision.claims.host_id) {
    return absl::PermissionDeniedError(fmt::format(
        "host {} may not speak for another host", *request.host_id));
  }
  if (!request.host_id && !request.may(result.decision.vm_uuid)) {
    return absl::PermissionDeniedError("the evidence is about a VM of others");
  }
  token::Ear ear = appraisal::ToEar(decision, wanted, now);
  ear.token_id = ToHex(RandomBytes(kTokenIdSize));
  const std::shared_ptr<const token::TokenSigner> signer = parts_.keys.Signer();
  ear.signed_with = request.post_quantum ? kHybrid : kClassic;
  if (request.post_quantum) {
    ASSIGN_OR_RETURN(result.ear_pq, signer->SignMlDsa(ear));
  }
  result.ear = signer->SignEs256(ear);
  result.decision.ear = result.ear;
  ASSIGN_OR_RETURN(
      result.decision.sequence,
      parts_.log.Append(result.decision,
                        decision.genuine ? request.evidence : Bytes()));
  return result;
}

// Where genuine evidence of the VM came from last.
absl::StatusOr<std::string> Appraiser::HostOf(const std::string& vm_uuid) {
  ASSIGN_OR_RETURN(
      const std::vector<DecisionEntry> decisions,
      parts_.store.Decisions({.vm_uuid = vm_uuid, .limit = kEvidencePage}));
  for (const DecisionEntry& decision : decisions) {
    if (decision.genuine) {
      return decision.host_id;
    }
  }
  return std::string();
}

absl::StatusOr<Bytes> Appraiser::AskHosts(const Demand& demand,
                                          const Bytes& nonce) {
  ASSIGN_OR_RETURN(const std::string last, HostOf(demand.vm_uuid));
  std::vector<std::string> hosts;
  if (!last.empty()) {
    hosts.push_back(last);
  }
  for (const std::string& host : parts_.host_client->hosts()) {
    if (host != last && hosts.size() < kMostHostsAsked) {
      hosts.push_back(host);
    }
  }
  for (const std::string& host : hosts) {
    absl::StatusOr<Bytes> evidence = parts_.host_client->Attest(
        host, demand.vm_uuid, nonce, demand.deadline);
    if (!absl::IsNotFound(evidence.status())) {
      return evidence;
    }
  }
  return absl::FailedPreconditionError(fmt::format(
      "no host is known that has VM {} (hosts of the configuration)",
      demand.vm_uuid));
}

absl::StatusOr<Appraiser::Result> Appraiser::RequestAttestation(
    const Demand& demand) {
  if (parts_.host_client == nullptr) {
    return absl::FailedPreconditionError(
        "this verifier cannot ask hosts: none is configured");
  }
  const Bytes nonce =
      demand.nonce.empty() ? RandomBytes(kNonceSize) : demand.nonce;
  ASSIGN_OR_RETURN(Bytes evidence, AskHosts(demand, nonce));
  return Appraise({.evidence = std::move(evidence),
                   .nonce = nonce,
                   .vm_uuid = demand.vm_uuid,
                   .post_quantum = demand.post_quantum,
                   .may = demand.may});
}

absl::StatusOr<std::string> Appraiser::Learn(const std::string& vm_uuid,
                                             const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<RecordedEvidence> recorded,
                   parts_.store.NewestEvidence(vm_uuid, 0, 1));
  if (recorded.empty()) {
    return absl::NotFoundError(
        fmt::format("no genuine evidence of VM {} is kept", vm_uuid));
  }
  const Bytes& evidence = recorded.front().evidence;
  ASSIGN_OR_RETURN(const About about, Peek(evidence));
  ASSIGN_OR_RETURN(const HostAnchors::Found host,
                   parts_.hosts.Find(about.host_id));
  if (host.anchors == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {}", host.reason.code, host.reason.found));
  }
  ASSIGN_OR_RETURN(const verifier::Appraisal appraisal,
                   verifier::Verify(evidence, *host.anchors, verifier::Policy(),
                                    parts_.clock.Now()));
  if (!appraisal.genuine) {
    return absl::FailedPreconditionError(
        fmt::format("the evidence kept is not believed any more: {}",
                    appraisal.verdict.reasons.front().code));
  }
  const verifier::Claims& claims = appraisal.claims;
  reference::Reference learned = reference::Learn(
      name, vm_uuid, claims.algorithm, claims.leaves, claims.root);
  learned.content = claims.content;
  learned.inside = claims.inside;
  ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> before,
                   parts_.store.FindReference(name, 0));
  learned.revision = before ? before->revision + 1 : 1;
  return reference::ToYaml(learned);
}

// What counts now, as if it always had: evidence is older than references.
absl::StatusOr<std::vector<reference::Reference>> Appraiser::CountingNow(
    const std::string& vm_uuid) {
  ASSIGN_OR_RETURN(std::vector<reference::Reference> references,
                   parts_.references.For(vm_uuid, parts_.clock.Now()));
  for (reference::Reference& reference : references) {
    reference.header.not_before_unix_ms = 0;
    reference.header.not_after_unix_ms = std::numeric_limits<int64_t>::max();
  }
  return references;
}

// Evidence of hosts that do not count any more is passed over.
absl::Status Appraiser::SimulateOne(const RecordedEvidence& recorded,
                                    const reference::Reference& proposed,
                                    Simulation& simulation) {
  const absl::StatusOr<About> about = Peek(recorded.evidence);
  if (!about.ok()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const HostAnchors::Found host,
                   parts_.hosts.Find(about->host_id));
  if (host.anchors == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<reference::Reference> active,
                   CountingNow(recorded.vm_uuid));
  ASSIGN_OR_RETURN(const std::vector<appraisal::Flip> flips,
                   appraisal::Simulate({recorded.evidence}, *host.anchors,
                                       active, proposed));
  ++simulation.examined;
  for (const appraisal::Flip& flip : flips) {
    simulation.flips.push_back({recorded.sequence, flip});
  }
  return absl::OkStatus();
}

absl::StatusOr<Appraiser::Simulation> Appraiser::Simulate(
    const reference::Reference& proposed, size_t most, const MayVm& may,
    MonotonicTime deadline) {
  Simulation simulation;
  uint64_t before = 0;
  while (simulation.examined < most) {
    ASSIGN_OR_RETURN(const std::vector<RecordedEvidence> page,
                     parts_.store.NewestEvidence("", before, kEvidencePage));
    if (page.empty()) {
      break;
    }
    before = page.back().sequence;
    for (const RecordedEvidence& recorded : page) {
      if (parts_.clock.Monotonic() >= deadline) {
        return absl::DeadlineExceededError(fmt::format(
            "{} pieces of evidence were examined", simulation.examined));
      }
      if (simulation.examined < most && may(recorded.vm_uuid)) {
        RETURN_IF_ERROR(SimulateOne(recorded, proposed, simulation));
      }
    }
  }
  return simulation;
}

absl::StatusOr<std::vector<Bytes>> Appraiser::ReferencesForHost(
    const std::string& host_id, const std::vector<std::string>& asked) {
  ASSIGN_OR_RETURN(std::vector<std::string> vms,
                   parts_.store.VmsOfHost(host_id, kMostVmsOfHost));
  vms.emplace_back("*");
  const std::set<std::string> seen_with(vms.begin(), vms.end());
  vms.insert(vms.end(), asked.begin(), asked.end());
  const WallTime now = parts_.clock.Now();
  std::set<std::pair<std::string, uint64_t>> seen;
  std::vector<Bytes> documents;
  size_t bytes = 0;
  for (const std::string& vm : vms) {
    ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> entries,
                     parts_.references.EntriesFor(vm, now));
    for (const ReferenceEntry& entry : entries) {
      if (seen.contains({entry.name, entry.revision})) {
        continue;
      }
      ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> whole,
                       parts_.store.FindReference(entry.name, entry.revision));
      if (!whole ||
          (!seen_with.contains(vm) && !LetsRun(whole->document, host_id))) {
        continue;
      }
      seen.emplace(entry.name, entry.revision);
      bytes += whole->document.size();
      if (bytes > kMostPolicyBytes) {
        return absl::ResourceExhaustedError(
            fmt::format("host {} has more than {} bytes of references", host_id,
                        kMostPolicyBytes));
      }
      documents.push_back(whole->document);
    }
  }
  return documents;
}

// What nobody signed lets nobody run anything.
bool Appraiser::LetsRun(ByteView document, const std::string& host_id) const {
  const auto opened = parts_.references.OpenDocument(document);
  if (!opened.ok() || !opened->verdict.trusted()) {
    return false;
  }
  const std::vector<std::string>& hosts = opened->reference.host_ids;
  return hosts.empty() ||
         std::find(hosts.begin(), hosts.end(), host_id) != hosts.end();
}

std::string Appraiser::JwkSet() const {
  return token::ToJwkSet(parts_.keys.Published());
}

}  // namespace vmattest::verification
