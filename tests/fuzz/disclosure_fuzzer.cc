// Hostile disclosures: first as they are, then under sound envelopes of a
// salted and of a public tree. No leaf may be believed that is not in the tree.

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/clock.h"
#include "support/evidence_builder.h"
#include "vmattest/verifier/disclosure.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using testing::EvidenceBuilder;

struct Tree {
  evidence::Evidence evidence;
  std::set<ConfigLeaf> leaves;  // with full paths, headers and tree leaves too
};

Tree MakeTree(EvidenceBuilder& builder) {
  const ConfigTree tree = builder.BuildTree();
  Tree made{.evidence = builder.Build(),
            .leaves = {tree.leaves.begin(), tree.leaves.end()}};
  for (const ConfigSubtree& subtree : tree.subtrees) {
    for (const ConfigLeaf& leaf : subtree.leaves) {
      made.leaves.insert(
          {subtree.path + "/" + leaf.path, leaf.type, leaf.value});
    }
  }
  return made;
}

struct Bed {
  testing::SoftHost host;
  verifier::Anchors anchors;
  Tree salted;
  Tree open;
  Bed() {
    EvidenceBuilder builder(host);
    builder.subtrees["disk/vda/inside"] = {
        {"package[bash:amd64]", LeafType::kText, "5.2"},
        {"table", LeafType::kText, "gpt"}};
    open = MakeTree(builder);
    builder.vm_salt = Bytes(32, 9);
    salted = MakeTree(builder);
    if (!anchors.Add(wire::HostIdentityToJson(host.Identity())).ok()) {
      std::abort();
    }
  }
};

verifier::Appraisal Appraise(ByteView bytes, const Bed& bed) {
  const WallTime now{std::chrono::milliseconds(EvidenceBuilder::kTimeUnixMs)};
  const auto appraisal =
      verifier::VerifyDisclosure(bytes, bed.anchors, verifier::Policy(), now);
  if (!appraisal.ok() ||
      appraisal->verdict.trusted() != appraisal->verdict.reasons.empty()) {
    std::abort();
  }
  return *appraisal;
}

void Run(ByteView bytes) {
  static const Bed& bed = *new Bed();
  if (Appraise(bytes, bed).verdict.trusted()) {
    std::abort();  // nothing that came from outside is signed by this host
  }
  auto disclosure = wire::ParseDisclosure(bytes);
  if (!disclosure.ok()) {
    return;
  }
  const Bytes again = wire::EncodeDisclosure(*disclosure);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()) ||
      !wire::IsDisclosure(bytes)) {
    std::abort();  // two encodings of one value
  }
  for (const Tree* tree : {&bed.salted, &bed.open}) {
    disclosure->envelope = tree->evidence.envelope;
    disclosure->keys = tree->evidence.keys;
    const verifier::Appraisal appraisal =
        Appraise(wire::EncodeDisclosure(*disclosure), bed);
    for (const ConfigLeaf& leaf : appraisal.claims.leaves) {
      if (appraisal.verdict.trusted() && !tree->leaves.contains(leaf)) {
        std::abort();
      }
    }
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
