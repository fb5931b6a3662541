#include "verification/snapshot_comparer.h"

#include <algorithm>
#include <utility>

#include "appraisal/appraise.h"
#include "baseline/reason_codes.h"
#include "baseline/score.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "vmattest/verifier/state.h"
#include "wire/codec.h"

namespace vmattest::verification {
namespace {

namespace reason = baseline::reason;
using baseline::Difference;
using evidence::StateStatement;
using snapshot::Severity;

constexpr size_t kIdSize = 16;
constexpr size_t kMostReasons = 100;
constexpr size_t kMostLookBytes = 1u << 20;
// AR4SI, "executables": approved; contraindicated at run time.
constexpr token::TrustClaim kApproved = 2;
constexpr token::TrustClaim kContraindicated = 96;
constexpr std::string_view kCmdlineLeaf = "os/cmdline";

struct Peeked {
  StateStatement statement;
  Bytes payload;
};
absl::StatusOr<Peeked> Peek(ByteView evidence) {
  ASSIGN_OR_RETURN(evidence::Evidence parsed, wire::ParseEvidence(evidence));
  ASSIGN_OR_RETURN(StateStatement statement,
                   wire::ParseStateStatement(parsed.envelope.payload));
  return Peeked{std::move(statement), std::move(parsed.envelope.payload)};
}

std::string NameOf(const baseline::LoadedBaseline& baseline) {
  return "baseline:" + baseline.baseline().id();
}

std::string SubsetOf(const StateStatement& statement) {
  return snapshot::SubsetId(statement.policy_id, statement.policy_version);
}

DecisionEntry EntryOf(const StateStatement& statement, WallTime now) {
  DecisionEntry entry;
  entry.time_unix_ms = now.time_since_epoch().count();
  entry.vm_uuid = statement.header.vm_uuid;
  entry.vm_name = statement.header.vm_name;
  entry.host_id = statement.header.host_id;
  entry.root = ToBytes(ByteView(statement.root));
  return entry;
}

void Add(Reason reason, DecisionEntry& entry) {
  entry.reasons.push_back(std::move(reason));
  entry.fixes.emplace_back();
}

// What was pages in another run proves nothing; something else must.
bool NothingToCompare(const baseline::Baseline& baseline,
                      const StateStatement& statement) {
  const bool records =
      !baseline.records_root.empty() && !statement.records_root.empty();
  const bool code = !baseline.code_hash.empty() && !statement.code_hash.empty();
  return !records && !code;
}

Reason ToReason(const Difference& difference) {
  return {std::string(difference.code), difference.element, difference.expected,
          fmt::format("{} [{}, {}]", difference.found,
                      snapshot::ToString(difference.severity),
                      baseline::ToString(difference.kind))};
}

token::Ear ToEar(const DecisionEntry& entry, const Bytes& nonce, uint32_t score,
                 WallTime now) {
  token::Ear ear;
  ear.profile = token::kProfile;
  ear.issued = now;
  ear.expires = now + appraisal::kRefusalLifetime;
  ear.nonce = nonce;
  ear.token_id = ToHex(RandomBytes(kIdSize));
  token::Submodule& memory = ear.submodules["memory"];
  memory.trust_vector["executables"] =
      entry.trusted ? kApproved : kContraindicated;
  memory.status = token::WorstOf(memory.trust_vector);
  memory.policy_id = entry.reference;
  memory.vm_uuid = entry.vm_uuid;
  memory.host_id = entry.host_id;
  const auto cut = [](const std::string& text) {
    return text.substr(0, appraisal::kMaxEarText);
  };
  for (const Reason& reason : entry.reasons) {
    memory.reasons.push_back({reason.code, cut(reason.element),
                              cut(reason.expected), cut(reason.found)});
    memory.fixes.emplace_back();
  }
  if (entry.genuine) {
    ear.binding = {{"vm", entry.vm_uuid},
                   {"host", entry.host_id},
                   {"root", ToHex(entry.root)},
                   {"reference", entry.reference},
                   {"score", std::to_string(score)}};
  }
  return ear;
}

}  // namespace

absl::StatusOr<SnapshotComparer::Result> SnapshotComparer::Decide(
    DecisionEntry entry, const Bytes& nonce, Result result) {
  if (entry.reasons.size() > kMostReasons) {
    entry.reasons.resize(kMostReasons);
    entry.fixes.resize(kMostReasons);
  }
  entry.ear = parts_.keys.Signer()->SignEs256(
      ToEar(entry, nonce, result.score, parts_.clock.Now()));
  result.decision = std::move(entry);
  // Without the evidence, which is no configuration's; the host keeps it.
  ASSIGN_OR_RETURN(result.decision.sequence,
                   parts_.log.Append(result.decision, Bytes()));
  return result;
}

absl::StatusOr<SnapshotComparer::Begun> SnapshotComparer::Refuse(
    DecisionEntry entry, const Bytes& nonce, Reason reason) {
  Add(std::move(reason), entry);
  Begun begun;
  ASSIGN_OR_RETURN(begun.result, Decide(std::move(entry), nonce, {}));
  return begun;
}

// Sets `genuine` and what is wrong.
absl::StatusOr<DecisionEntry> SnapshotComparer::CheckEvidence(
    const Request& request, const StateStatement& statement,
    const baseline::LoadedBaseline* baseline) {
  DecisionEntry entry = EntryOf(statement, parts_.clock.Now());
  ASSIGN_OR_RETURN(const HostAnchors::Found host,
                   parts_.hosts.Find(statement.header.host_id));
  if (host.anchors == nullptr) {
    Add(host.reason, entry);
    return entry;
  }
  verifier::StatePolicy policy;
  if (request.nonce.empty()) {
    policy.evidence.max_age = options_.max_age;
  } else {
    policy.evidence.nonce = request.nonce;
  }
  if (baseline != nullptr) {
    entry.reference = NameOf(*baseline);
    policy.approved_subsets = std::map<std::string, DigestBytes>{
        {baseline->baseline().subset(), baseline->baseline().policy_digest}};
  }
  ASSIGN_OR_RETURN(const verifier::StateAppraisal appraisal,
                   verifier::VerifyState(request.evidence, *host.anchors,
                                         policy, parts_.clock.Now()));
  entry.genuine = appraisal.genuine;
  for (const Reason& reason : appraisal.verdict.reasons) {
    Add(reason, entry);
  }
  if (!appraisal.verdict.trusted() && entry.reasons.empty()) {
    return absl::InternalError("a refusal without a reason");
  }
  return entry;
}

absl::StatusOr<SnapshotComparer::Begun> SnapshotComparer::Begin(
    const Request& request) {
  absl::StatusOr<Peeked> peeked = Peek(request.evidence);
  if (!peeked.ok()) {
    if (request.host_id) {
      StateStatement unknown;
      unknown.header.host_id = *request.host_id;
      return Refuse(EntryOf(unknown, parts_.clock.Now()), request.nonce,
                    {"evidence-malformed", "evidence", "",
                     std::string(peeked.status().message())});
    }
    return absl::InvalidArgumentError(
        fmt::format("evidence: {}", std::string(peeked.status().message())));
  }
  const StateStatement& statement = peeked->statement;
  if (request.host_id ? *request.host_id != statement.header.host_id
                      : !request.may(statement.header.vm_uuid)) {
    return absl::PermissionDeniedError(
        "the evidence is of another host, or about a VM of others");
  }
  std::optional<baseline::GuestReport> report;
  if (!request.guest_report.empty()) {
    ASSIGN_OR_RETURN(report, baseline::ParseGuestReport(request.guest_report));
  }
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const baseline::LoadedBaseline> baseline,
      parts_.baselines.For(statement.header.vm_uuid, SubsetOf(statement)));
  ASSIGN_OR_RETURN(DecisionEntry entry,
                   CheckEvidence(request, statement, baseline.get()));
  if (!entry.reasons.empty()) {
    Begun begun;
    ASSIGN_OR_RETURN(begun.result, Decide(std::move(entry), request.nonce, {}));
    return begun;
  }
  if (baseline == nullptr) {
    return Refuse(
        std::move(entry), request.nonce,
        {std::string(reason::kNone), statement.header.vm_uuid,
         fmt::format("a baseline of {}", SubsetOf(statement)), "none"});
  }
  const baseline::Baseline& of = baseline->baseline();
  if (of.algorithm != statement.algorithm ||
      of.page_bytes != statement.page_bytes) {
    return Refuse(std::move(entry), request.nonce,
                  {std::string(reason::kSubset), "algorithm",
                   fmt::format("{}, {}", ToString(of.algorithm), of.page_bytes),
                   fmt::format("{}, {}", ToString(statement.algorithm),
                               statement.page_bytes)});
  }
  Begun begun;
  begun.comparison = RandomBytes(kIdSize);
  begun.baseline = baseline::Encode(of);
  RETURN_IF_ERROR(Keep(begun.comparison,
                       {.caller = request.caller,
                        .ends = parts_.clock.Monotonic() + options_.lifetime,
                        .statement = statement,
                        .entry = std::move(entry),
                        .nonce = request.nonce,
                        .payload = std::move(peeked->payload),
                        .report = std::move(report),
                        .against = baseline}));
  return begun;
}

absl::Status SnapshotComparer::Keep(const Bytes& id, Comparison comparison) {
  const MutexLock lock(mutex_);
  const MonotonicTime now = parts_.clock.Monotonic();
  std::erase_if(under_way_,
                [now](const auto& item) { return item.second.ends <= now; });
  const auto of_caller = std::count_if(
      under_way_.begin(), under_way_.end(), [&](const auto& item) {
        return item.second.caller == comparison.caller;
      });
  if (under_way_.size() >= options_.most ||
      static_cast<size_t>(of_caller) >= options_.most_of_caller) {
    return absl::ResourceExhaustedError(
        fmt::format("{} comparisons are under way", under_way_.size()));
  }
  under_way_.emplace(id, std::move(comparison));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const baseline::LoadedBaseline>>
SnapshotComparer::BaselineOf(const std::string& caller, ByteView comparison) {
  const MutexLock lock(mutex_);
  const auto found = under_way_.find(ToBytes(comparison));
  if (found == under_way_.end() || found->second.caller != caller ||
      found->second.ends <= parts_.clock.Monotonic()) {
    return absl::NotFoundError("no such comparison");
  }
  return found->second.against;
}

absl::StatusOr<SnapshotComparer::Comparison> SnapshotComparer::Take(
    const std::string& caller, ByteView comparison) {
  const MutexLock lock(mutex_);
  const auto found = under_way_.find(ToBytes(comparison));
  if (found == under_way_.end() || found->second.caller != caller ||
      found->second.ends <= parts_.clock.Monotonic()) {
    return absl::NotFoundError("no such comparison");
  }
  Comparison taken = std::move(found->second);
  under_way_.erase(found);
  return taken;
}

std::vector<Difference> SnapshotComparer::ReportViews(
    const Comparison& comparison,
    const std::vector<evidence::StateRecord>& records) {
  std::vector<Difference> found;
  KeptLook now{
      baseline::LookOf(comparison.payload, comparison.statement, records),
      comparison.report};
  if (comparison.report) {
    // Of a snapshot that nobody knows: then they are out of order.
    static const auto& none =
        *new std::shared_ptr(std::make_shared<const KeptLook>());
    std::shared_ptr<const KeptLook> before;
    {
      const MutexLock lock(mutex_);
      before = looks_.Find(comparison.report->after).value_or(none);
    }
    found =
        baseline::CompareReport({before->report ? &*before->report : nullptr,
                                 before->look, *comparison.report, now.look});
  }
  size_t bytes = comparison.report ? Encode(*comparison.report).size() : 0;
  for (const evidence::StateRecord& record : now.look.records) {
    bytes += record.name.size() + record.text.size();
  }
  if (bytes <= kMostLookBytes) {
    const MutexLock lock(mutex_);
    const DigestBytes digest = now.look.digest;
    looks_.Put(digest, std::make_shared<const KeptLook>(std::move(now)));
  }
  return found;
}

// What the newest genuine evidence of its configuration says, and the guest.
absl::StatusOr<std::vector<Difference>> SnapshotComparer::CrossViews(
    const Comparison& comparison,
    const std::vector<evidence::StateRecord>& records) {
  std::vector<Difference> found = ReportViews(comparison, records);
  ASSIGN_OR_RETURN(
      const std::vector<RecordedEvidence> recorded,
      parts_.store.NewestEvidence(comparison.statement.header.vm_uuid, 0, 1));
  if (recorded.empty()) {
    return found;
  }
  const absl::StatusOr<evidence::Evidence> configuration =
      wire::ParseEvidence(recorded.front().evidence);
  if (configuration.ok()) {
    for (const ConfigLeaf& leaf : configuration->leaves) {
      if (leaf.path == kCmdlineLeaf && leaf.type == LeafType::kText) {
        if (auto other = baseline::CompareConfigured(records, leaf.value)) {
          found.push_back(*std::move(other));
        }
      }
    }
  }
  return found;
}

absl::StatusOr<SnapshotComparer::Result> SnapshotComparer::Finish(
    const std::string& caller, ByteView comparison, ByteView delta) {
  ASSIGN_OR_RETURN(Comparison taken, Take(caller, comparison));
  const baseline::LoadedBaseline& baseline = *taken.against;
  Result result;
  result.other_run = !baseline::IsSameRun(baseline.baseline(), taken.statement);
  absl::StatusOr<baseline::Delta> parsed = baseline::ParseDelta(delta);
  if (!parsed.ok()) {
    Add({std::string(reason::kDeltaMalformed), "delta", "",
         std::string(parsed.status().message())},
        taken.entry);
    return Decide(std::move(taken.entry), taken.nonce, std::move(result));
  }
  const baseline::Applied applied =
      ApplyDelta(baseline, taken.statement, *std::move(parsed));
  if (applied.refused) {
    Add(*applied.refused, taken.entry);
    return Decide(std::move(taken.entry), taken.nonce, std::move(result));
  }
  if (result.other_run &&
      NothingToCompare(baseline.baseline(), taken.statement)) {
    Add({std::string(reason::kOtherRun), "run", baseline.baseline().run,
         taken.statement.run},
        taken.entry);
    return Decide(std::move(taken.entry), taken.nonce, std::move(result));
  }
  result.differences = CompareSnapshot(baseline, taken.statement, applied);
  ASSIGN_OR_RETURN(const std::vector<Difference> contradictions,
                   CrossViews(taken, applied.records));
  result.differences.insert(result.differences.end(), contradictions.begin(),
                            contradictions.end());
  SortByGravity(result.differences);
  result.score = baseline::Score(result.differences);
  result.compared = true;
  taken.entry.trusted = result.score >= baseline.baseline().min_score;
  if (!taken.entry.trusted) {
    Add({std::string(reason::kScore), "score",
         fmt::format("at least {}", baseline.baseline().min_score),
         std::to_string(result.score)},
        taken.entry);
    for (const Difference& difference : result.differences) {
      if (difference.severity != Severity::kInfo) {
        Add(ToReason(difference), taken.entry);
      }
    }
  }
  return Decide(std::move(taken.entry), taken.nonce, std::move(result));
}

}  // namespace vmattest::verification
