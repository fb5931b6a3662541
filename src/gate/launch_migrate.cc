// The part of LaunchGate that knows VMs which come from another host.
#include <algorithm>
#include <utility>
#include <vector>

#include "evidence/config_tree.h"
#include "gate/launch_gate.h"
#include "measurement/arrived_xml.h"
#include "reference/reason_codes.h"

namespace vmattest::gate {
namespace {

// In what the XML at `migrate` differs from the one at `prepare` for each VM:
// libvirt writes it for its older versions, too, and leaves out what the
// destination fills in again; and it has the secrets, which no other has.
bool IsOfThisXmlAlone(const reference::Finding& finding) {
  const std::string& code = finding.reason.code;
  return code == reference::reason::kLeafMissing ||
         code == reference::reason::kRoot ||
         (code == reference::reason::kLeafAdded &&
          finding.change.leaf.type == LeafType::kPresence);
}

}  // namespace

bool LaunchGate::Runs(const std::string& vm_uuid) const {
  const std::optional<LaunchSession> session = parts_.sessions.Find(vm_uuid);
  return session && session->running;
}

bool LaunchGate::IsAskedInVain(const Launch& launch) const {
  const std::string& operation = launch.call.operation;
  return (operation == "restore" || operation == "migrate") &&
         Runs(launch.uuid);
}

// By the reference alone, without TPM and verifier: nothing is let run here.
Judgement LaunchGate::JudgeMigrate(const Launch& launch,
                                   LaunchSession& session) {
  if (Runs(launch.uuid)) {
    return Deny("gate-runs-here", "it runs on this host already");
  }
  session = session.Anew();
  session.incoming = true;
  session.arrived_xml = launch.call.xml;
  if (!launch.policy.reference) {
    return Deny("gate-no-reference",
                "there is no reference to compare it with");
  }
  if (std::optional<Judgement> outside = CheckStore(launch.call.xml)) {
    return *std::move(outside);
  }
  const absl::StatusOr<std::string> xml =
      measurement::AsBeforeMigration(launch.call.xml, parts_.make_parser);
  const absl::StatusOr<Measured> measured =
      xml.ok() ? Measure(launch, *xml) : xml.status();
  if (!measured.ok()) {
    return DenyFor("gate-measuring", "measuring", measured.status());
  }
  const ConfigTree& tree = measured->measurement.tree;
  session.config_root = tree.root;
  std::vector<reference::Finding> findings = reference::Evaluate(
      *launch.policy.reference, evidence::Flatten(tree.leaves, tree.subtrees),
      tree.root);
  std::erase_if(findings, IsOfThisXmlAlone);
  return findings.empty() ? Allow(Basis::kDeferred) : DenyFor(findings);
}

}  // namespace vmattest::gate
