#include "trust/fold.h"

#include <algorithm>

#include "trust/state_codec.h"

namespace vmattest::trust {

Fold::Fold(const ScoreRules& rules) { rules_[0] = rules; }

const ScoreRules& Fold::RulesAt(uint64_t index) const {
  return std::prev(rules_.upper_bound(index))->second;
}

void Fold::SetRules(At at, const ScoreRules& rules) {
  rules_[at.index] = rules;
  newest_ms_ = std::max(newest_ms_, at.time_ms);
  dirty_rules_ = true;
}

VmState* Fold::Touch(At at, const Uuid& vm) {
  newest_ms_ = std::max(newest_ms_, at.time_ms);
  const auto it = vms_.find(vm);
  if (it == vms_.end()) {
    return nullptr;
  }
  dirty_vms_.insert(vm);
  CountSilence(at, it->second);
  it->second.last_index = at.index;
  if (!it->second.pending.empty()) {
    pending_.insert(vm);
  }
  return &it->second;
}

HostState& Fold::TouchHost(const std::string& host) {
  dirty_hosts_.insert(host);
  return hosts_[host];
}

// How many times `vm` has failed by saying nothing, at most so often that the
// score is at its floor for certain.
int64_t Fold::SilencesUntil(const VmState& vm, int64_t time_ms) const {
  const ScoreRules& now = rules();
  if (!vm.running || time_ms <= vm.seen_ms) {
    return 0;
  }
  const int64_t most =
      1 + (now.cap - now.floor) / std::max<int64_t>(1, now.DebitOf(kSilence));
  return std::min(
      {(time_ms - vm.seen_ms) / now.grace_ms, most, int64_t{10'000}});
}

void Fold::CountSilence(At at, VmState& vm) const {
  const int64_t count = SilencesUntil(vm, at.time_ms);
  if (count == 0) {
    return;
  }
  const int64_t grace = rules().grace_ms;
  const int64_t debit = rules().DebitOf(kSilence);
  for (int64_t i = 1; i <= count; ++i) {
    vm.pending.push_back({.index = at.index,
                          .time_ms = vm.seen_ms + i * grace,
                          .kind = Step::Kind::kSilence,
                          .debit = debit});
  }
  // Whole graces, also those past the floor.
  vm.seen_ms += (at.time_ms - vm.seen_ms) / grace * grace;
  vm.silences += static_cast<uint64_t>(count);
  vm.failing = true;
}

void Fold::AddStep(At at, Step::Kind kind, VmState& vm, int64_t debit) {
  vm.pending.push_back(
      {.index = at.index, .time_ms = at.time_ms, .kind = kind, .debit = debit});
}

void Fold::AddPass(At at, VmState& vm) {
  ++vm.passes;
  vm.failing = false;
  vm.fail_times.clear();
  vm.seen_ms = at.time_ms;
  const auto host = hosts_.find(vm.host);
  // What a compromised host says raises nobody's trust.
  if (host == hosts_.end() || !host->second.compromised) {
    AddStep(at, Step::Kind::kPass, vm);
  }
}

void Fold::AddFail(At at, std::string_view reason, VmState& vm) {
  ++vm.fails;
  vm.failing = true;
  vm.seen_ms = at.time_ms;
  vm.fail_times.push_back(at.time_ms);
  if (vm.fail_times.size() > rules().window_fails) {
    vm.fail_times.erase(vm.fail_times.begin());
  }
  AddStep(at, Step::Kind::kFail, vm, rules().DebitOf(reason));
}

void Fold::SetHost(const Uuid& id, VmState& vm, const std::string& host,
                   bool running) {
  if (vm.host != host) {
    by_host_[vm.host].erase(id);
    by_host_[host].insert(id);
    vm.host = host;
    ++vm.epoch;
  }
  vm.running = running;
  vm.leaving_to.clear();
}

void Fold::Register(At at, const Uuid& vm, const std::string& owner) {
  const auto [it, fresh] = vms_.try_emplace(vm);
  if (fresh) {
    it->second.solid = StartScore(rules(), at.time_ms);
    by_host_[""].insert(vm);
  }
  Touch(at, vm)->owner = owner;
}

void Fold::Start(At at, const Uuid& id, const std::string& host) {
  VmState* const vm = Touch(at, id);
  if (vm == nullptr) {
    return;
  }
  const bool was_running = vm->running;
  SetHost(id, *vm, host, true);
  if (!was_running) {
    vm->seen_ms = at.time_ms;  // the grace begins
  }
}

void Fold::Result(At at, const Uuid& id, bool pass, std::string_view reason) {
  VmState* const vm = Touch(at, id);
  if (vm == nullptr) {
    return;
  }
  if (pass) {
    AddPass(at, *vm);
  } else {
    AddFail(at, reason, *vm);
  }
  pending_.insert(id);
  if (!pass) {
    DetectCompromise(at, vm->host);
  }
}

void Fold::Tick(At at, const std::string& host,
                const std::vector<VmChange>& changes, uint64_t tick,
                bool in_time) {
  HostState& state = TouchHost(host);
  state.ticks = tick;
  state.last_tick_ms = at.time_ms;
  newest_ms_ = std::max(newest_ms_, at.time_ms);
  std::set<Uuid> named;
  bool failed = false;
  for (const auto& [id, change, reason] : changes) {
    named.insert(id);
    VmState* const vm = Touch(at, id);
    if (vm == nullptr) {
      continue;
    }
    switch (change) {
      case Change::kPass:
        AddPass(at, *vm);
        break;
      case Change::kFail:
        AddFail(at, reason, *vm);
        failed = true;
        break;
      case Change::kStop:
        vm->running = false;
        vm->failing = false;
        break;
    }
    pending_.insert(id);
  }
  const std::vector<Uuid> as_before =
      in_time ? Passing(host, at.time_ms) : std::vector<Uuid>();
  for (const Uuid& id : as_before) {
    if (named.count(id) == 0) {
      AddPass(at, *Touch(at, id));
      pending_.insert(id);
    }
  }
  if (failed) {
    DetectCompromise(at, host);
  }
}

std::vector<Uuid> Fold::Passing(const std::string& host,
                                int64_t time_ms) const {
  std::vector<Uuid> passing;
  for (const Uuid& id : VmsOf(host)) {
    const VmState& vm = vms_.at(id);
    if (vm.running && !vm.failing && SilencesUntil(vm, time_ms) == 0) {
      passing.push_back(id);
    }
  }
  return passing;
}

void Fold::Leave(At at, const Uuid& id, const std::string& to_host) {
  if (VmState* const vm = Touch(at, id); vm != nullptr) {
    vm->leaving_to = to_host;
  }
}

void Fold::Arrive(At at, const Uuid& id, const std::string& host) {
  if (VmState* const vm = Touch(at, id); vm != nullptr) {
    SetHost(id, *vm, host, true);
    vm->seen_ms = at.time_ms;
  }
}

void Fold::Rehome(At at, const Uuid& id, const std::string& host) {
  if (VmState* const vm = Touch(at, id); vm != nullptr) {
    SetHost(id, *vm, host, false);
  }
}

void Fold::Flag(At at, const std::string& host) {
  newest_ms_ = std::max(newest_ms_, at.time_ms);
  HostState& state = TouchHost(host);
  if (state.compromised) {
    return;
  }
  state.compromised = true;
  state.compromised_index = at.index;
  for (const Uuid& id : by_host_[host]) {
    VmState* const vm = Touch(at, id);
    AddStep(at, Step::Kind::kCompromise, *vm);
    pending_.insert(id);
  }
}

void Fold::Clear(At at, const std::string& host) {
  newest_ms_ = std::max(newest_ms_, at.time_ms);
  TouchHost(host).compromised = false;
}

// Rule S32: not by one tenant's VMs alone.
void Fold::DetectCompromise(At at, const std::string& host) {
  const ScoreRules& now = rules();
  size_t running = 0;
  size_t failing = 0;
  std::set<std::string> owners;
  for (const Uuid& id : by_host_[host]) {
    const VmState& vm = vms_.at(id);
    running += vm.running ? 1 : 0;
    if (vm.running && vm.fail_times.size() >= now.window_fails &&
        at.time_ms - vm.fail_times.front() <= now.window_ms) {
      ++failing;
      owners.insert(vm.owner);
    }
  }
  if (owners.size() >= now.compromise_owners &&
      (failing >= now.compromise_vms || 2 * failing >= running)) {
    Flag(at, host);
  }
}

void Fold::ApplyStep(const Step& step, bool raise, Score& score) const {
  const ScoreRules& rules = RulesAt(step.index);
  switch (step.kind) {
    case Step::Kind::kPass:
      if (raise) {
        Pass(rules, step.time_ms, score);
      } else {
        Decay(rules, step.time_ms, score);
      }
      return;
    case Step::Kind::kFail:
    case Step::Kind::kSilence:
      Fail(rules, step.time_ms, step.debit, score);
      return;
    case Step::Kind::kCompromise:
      Compromise(rules, step.time_ms, score);
      return;
  }
}

void Fold::Flush(VmState& vm, uint64_t size) const {
  auto step = vm.pending.begin();
  for (; step != vm.pending.end() && step->index < size; ++step) {
    ApplyStep(*step, true, vm.solid);
  }
  vm.pending.erase(vm.pending.begin(), step);
}

void Fold::Witnessed(uint64_t size) {
  if (size <= witnessed_) {
    return;
  }
  witnessed_ = size;
  dirty_rules_ = true;
  for (auto it = pending_.begin(); it != pending_.end();) {
    VmState& vm = vms_.at(*it);
    Flush(vm, size);
    dirty_vms_.insert(*it);
    it = vm.pending.empty() ? pending_.erase(it) : std::next(it);
  }
}

const VmState* Fold::FindVm(const Uuid& vm) const {
  const auto it = vms_.find(vm);
  return it == vms_.end() ? nullptr : &it->second;
}

const HostState* Fold::FindHost(const std::string& host) const {
  const auto it = hosts_.find(host);
  return it == hosts_.end() ? nullptr : &it->second;
}

std::vector<Uuid> Fold::VmsOf(const std::string& host) const {
  const auto it = by_host_.find(host);
  return it == by_host_.end()
             ? std::vector<Uuid>()
             : std::vector<Uuid>(it->second.begin(), it->second.end());
}

std::optional<Reading> Fold::Read(const Uuid& id, int64_t now_ms) const {
  const auto it = vms_.find(id);
  if (it == vms_.end()) {
    return std::nullopt;
  }
  const int64_t now = std::max(now_ms, newest_ms_);
  Reading reading{.rules_version = rules().version, .vm = it->second};
  VmState vm = it->second;
  CountSilence({.index = UINT64_MAX, .time_ms = now}, vm);
  reading.silences = vm.silences;
  reading.unwitnessed = it->second.pending.size();
  Score score = vm.solid;
  reading.witnessed_milli = ScoreAt(rules(), score, now);
  for (const Step& step : vm.pending) {
    ApplyStep(step, false, score);
  }
  reading.milli = ScoreAt(rules(), score, now);
  reading.band = BandOf(rules(), reading.milli);
  const HostState* const host = FindHost(vm.host);
  reading.host_compromised = host != nullptr && host->compromised;
  return reading;
}

std::vector<Fold::Item> Fold::TakeDirty() {
  std::vector<Item> items;
  for (const Uuid& id : dirty_vms_) {
    items.emplace_back(VmStateKey(id), EncodeVmState(vms_.at(id)));
  }
  for (const std::string& host : dirty_hosts_) {
    items.emplace_back(HostStateKey(host), EncodeHostState(hosts_.at(host)));
  }
  if (dirty_rules_ || !items.empty()) {
    items.emplace_back(kFoldStateKey, EncodeFoldState({.witnessed = witnessed_,
                                                       .newest_ms = newest_ms_,
                                                       .rules = rules_}));
  }
  dirty_vms_.clear();
  dirty_hosts_.clear();
  dirty_rules_ = false;
  return items;
}

absl::Status Fold::Restore(const std::string& key, ByteView value) {
  if (key == kFoldStateKey) {
    ASSIGN_OR_RETURN(FoldState state, ParseFoldState(value));
    witnessed_ = state.witnessed;
    newest_ms_ = state.newest_ms;
    rules_ = std::move(state.rules);
    return absl::OkStatus();
  }
  if (const absl::StatusOr<Uuid> id = ParseVmStateKey(key); id.ok()) {
    ASSIGN_OR_RETURN(VmState vm, ParseVmState(value));
    by_host_[vm.host].insert(*id);
    if (!vm.pending.empty()) {
      pending_.insert(*id);
    }
    vms_[*id] = std::move(vm);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string host, ParseHostStateKey(key));
  ASSIGN_OR_RETURN(hosts_[host], ParseHostState(value));
  return absl::OkStatus();
}

std::vector<Fold::Item> Fold::Canonical() const {
  std::vector<Item> items;
  for (const auto& [host, state] : hosts_) {
    items.emplace_back(HostStateKey(host), EncodeHostState(state));
  }
  for (const auto& [id, state] : vms_) {
    VmState vm = state;
    Flush(vm, UINT64_MAX);
    items.emplace_back(VmStateKey(id), EncodeVmState(vm));
  }
  return items;
}

}  // namespace vmattest::trust
