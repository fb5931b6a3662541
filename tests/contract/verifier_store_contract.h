#ifndef VMATTEST_TESTS_CONTRACT_VERIFIER_STORE_CONTRACT_H_
#define VMATTEST_TESTS_CONTRACT_VERIFIER_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "verification/verifier_store.h"

// What every VerifierStore does. A program instantiates it over its bodies:
//   INSTANTIATE_TEST_SUITE_P(Etcd, VerifierStoreContract, Values(body),
//                            VerifierStoreBodyName);

namespace vmattest::testing {

struct VerifierStoreBody {
  const char* name;
  // An empty one.
  std::function<std::shared_ptr<verification::VerifierStore>(const TempDir&)>
      make;
};

inline std::string VerifierStoreBodyName(
    const ::testing::TestParamInfo<VerifierStoreBody>& info) {
  return info.param.name;
}

class VerifierStoreContract
    : public ::testing::TestWithParam<VerifierStoreBody> {
 protected:
  static verification::HostEntry Host(const std::string& id,
                                      uint64_t revision = 1) {
    return {.host_id = id,
            .state = verification::HostEntry::State::kEnrolled,
            .revision = revision,
            .client_identity = "spiffe://t/" + id,
            .hostname = "name-" + id,
            .ek_trust = "certificate",
            .ak_name = ToBytes("ak of " + id),
            .ek_fingerprint = ToBytes("ek of " + id),
            .identity = ToBytes("identity\0of" + id),
            .record = ToBytes("record"),
            .since_unix_ms = 1'700'000'000'000,
            .revocation_reason = ""};
  }
  static verification::ReferenceEntry Reference(const std::string& name,
                                                uint64_t revision,
                                                std::vector<std::string> vms) {
    return {.name = name,
            .revision = revision,
            .mode = "enforce",
            .vm_uuids = std::move(vms),
            .not_before_unix_ms = 100,
            .not_after_unix_ms = 1'000,
            .approver = "alice",
            .signer_key_id = Bytes(32, 7),
            .stored_unix_ms = 50,
            .document = Bytes(300, static_cast<uint8_t>(revision))};
  }
  static verification::BaselineEntry Baseline(const std::string& name,
                                              uint64_t revision,
                                              std::vector<std::string> vms) {
    return {.name = name,
            .revision = revision,
            .subset = "kernel@1",
            .vm_uuids = std::move(vms),
            .not_before_unix_ms = 100,
            .not_after_unix_ms = 1'000,
            .approver = "alice",
            .signer_key_id = Bytes(32, 7),
            .stored_unix_ms = 50,
            .document = Bytes(300, static_cast<uint8_t>(revision))};
  }
  template <class Entry>
  static Entry Headline(Entry entry) {
    entry.document.clear();
    return entry;
  }
  static verification::DecisionEntry Decision(const std::string& vm,
                                              bool trusted) {
    verification::DecisionEntry decision;
    decision.time_unix_ms = 1'700'000'000'123;
    decision.vm_uuid = vm;
    decision.vm_name = "web";
    decision.host_id = "host-1";
    decision.trusted = trusted;
    decision.genuine = true;
    if (!trusted) {
      decision.reasons = {{"reference-leaf-changed", "cpu/mode", "a", "b"},
                          {"reference-root", "", "", ""}};
      decision.fixes = {"set cpu/mode to a", ""};
    }
    decision.reference = "web@3";
    decision.root = Bytes(32, 9);
    decision.ear = "e.a.r";
    return decision;
  }
  uint64_t Append(const std::string& vm, bool trusted,
                  const std::string& evidence = "", size_t keep = 10) {
    return store_->Append({{Decision(vm, trusted), ToBytes(evidence)}}, keep)
        .value();
  }
  std::vector<uint64_t> Sequences(const verification::DecisionQuery& query) {
    std::vector<uint64_t> sequences;
    const auto found = store_->Decisions(query);
    for (const verification::DecisionEntry& decision : found.value()) {
      sequences.push_back(decision.sequence);
    }
    return sequences;
  }

  TempDir dir_;
  std::shared_ptr<verification::VerifierStore> store_ = GetParam().make(dir_);
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_CONTRACT_VERIFIER_STORE_CONTRACT_H_
