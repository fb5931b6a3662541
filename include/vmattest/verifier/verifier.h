#ifndef VMATTEST_VERIFIER_VERIFIER_H_
#define VMATTEST_VERIFIER_VERIFIER_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/tpm.h"
#include "vmattest/types/verdict.h"

// Checks evidence offline, with public keys alone. Needs neither libvirt nor a
// TPM nor gRPC nor a network. Stateless; callable from any thread.

namespace vmattest::verifier {

// Hosts whose keys are believed: each is the content of a file that
// `vmattest host-identity` wrote, JSON.
class Anchors {
 public:
  Anchors();
  Anchors(Anchors&&) noexcept;
  Anchors& operator=(Anchors&&) noexcept;
  ~Anchors();

  // INVALID_ARGUMENT: not a host identity, one that contradicts itself (host
  // id is not the EK's name, a key that the AK did not certify), or a second
  // identity for the same host with another AK; with the same AK, the keys of
  // both count.
  [[nodiscard]] absl::Status Add(std::string_view json);
  // Every *.json of a folder. NOT_FOUND: no folder, or none in it.
  static absl::StatusOr<Anchors> LoadFolder(const std::string& path);

  [[nodiscard]] std::vector<std::string> host_ids() const;
  // The host's AK as PEM. NOT_FOUND: no such host.
  [[nodiscard]] absl::StatusOr<std::string> AkPem(
      std::string_view host_id) const;

  struct Host;
  [[nodiscard]] const Host* Find(std::string_view host_id) const;

 private:
  std::map<std::string, Host, std::less<>> hosts_;
};

// What the caller demands beyond a sound signature.
struct Policy {
  // Signatures that must be there; more may be.
  std::vector<std::string> required_signatures = {"tpm2-quote"};
  std::optional<std::vector<uint8_t>> nonce;
  // Longest time from the beginning of measuring to the quote, TPM clock.
  std::chrono::milliseconds max_measurement_age = std::chrono::minutes(30);
  // Longest time from the statement to `now`, and how far ahead it may lie.
  std::optional<std::chrono::milliseconds> max_age;
  std::chrono::milliseconds max_clock_skew = std::chrono::minutes(2);
  // PCRs that the quote must cover, in one bank.
  std::vector<uint32_t> required_pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
  // Values that PCRs of that bank must have.
  std::map<uint32_t, std::vector<std::vector<uint8_t>>> allowed_pcr_values;
  // Expected configuration: its leaves (differences are then named), those of
  // subtrees as "PATH/LEAF" in place of the tree leaf; or only its root. With
  // both, the root decides where the leaves of a salted tree are kept back.
  std::optional<std::vector<ConfigLeaf>> expected_leaves;
  std::optional<DigestBytes> expected_root;
  std::optional<std::string> expected_vm_uuid;
  // Digests taken from the cache are refused.
  bool require_fresh_content = false;
  // Leaves that only say why something could not be measured are refused.
  bool refuse_unavailable = false;
  // VMs that run beside libvirt on that host (rule S19).
  std::optional<uint64_t> max_unmanaged_vms;
};

// A signature of the envelope, and what became of it: "verified", or
// "unchecked" if the appraisal did not get that far or this verifier has no
// implementation of the algorithm (docs/post-quantum.md).
struct SignatureClaim {
  std::string algorithm;
  std::string state;
  friend bool operator==(const SignatureClaim&,
                         const SignatureClaim&) = default;
};

// What the evidence says, as far as it could be read. Believe it only if the
// verdict is trusted, or as the host's word if the appraisal is `genuine`.
struct Claims {
  std::string host_id;
  std::string hostname;
  std::string vm_uuid;
  std::string vm_name;
  std::string vm_state;
  std::string payload_type;
  std::string module_version;
  std::vector<uint8_t> nonce;
  int64_t time_unix_ms = 0;
  TpmClock measured_at;
  TpmClock quoted_at;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  DigestBytes root;
  uint64_t leaf_count = 0;
  std::string content;
  std::string xml_kind;
  std::vector<std::string> cached_paths;
  std::vector<SignatureClaim> signatures;  // in the envelope's order
  uint64_t batch_size = 0;
  std::vector<PcrValues> pcr_banks;
  // How the AK is believed: "pinned" until enrolment exists.
  std::string ak;
  std::vector<uint8_t> ak_name;  // TPM name; empty: the host is unknown
  // "nonce" if one was demanded and matches, else "not-checked".
  std::string freshness;
  std::vector<ConfigLeaf> leaves;  // those of subtrees as in Policy
  std::string inside;              // "none", "inventory", "full"
  uint64_t log_size = 0;           // of the host event log; 0: none is kept
  std::vector<uint8_t> log_head;
  uint64_t unmanaged_vms = 0;
};

struct Appraisal {
  Verdict verdict;
  // Every check but the caller's demands (the last kind, "policy") passed: the
  // host really said this, whether or not it is what was wanted.
  bool genuine = false;
  Claims claims;
};

// The checks, in this order; the first kind that fails ends the appraisal:
// structure, signatures and key chain, TPM structure, PCRs, clock, nonce and
// time window, batch path, statement, policy. Bad evidence is a verdict with
// reasons, never an error. FAILED_PRECONDITION: no anchors, nothing can be
// decided.
absl::StatusOr<Appraisal> Verify(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const Policy& policy, std::chrono::sys_time<std::chrono::milliseconds> now);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_VERIFIER_H_
