#ifndef VMATTEST_BASELINE_BASELINE_H_
#define VMATTEST_BASELINE_BASELINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "baseline/digest_tree.h"
#include "evidence/statement.h"
#include "vmattest/types/digest.h"

// What a VM's memory should hold: a snapshot that an approver signed
// (docs/formats/baseline.md). Values and pure functions; any thread.

namespace vmattest::baseline {

inline constexpr std::string_view kPayloadType =
    "application/vnd.vmattest.baseline.v1+protobuf";
inline constexpr uint32_t kDefaultMinScore = 90;
// Bytes of a pages file: those of 2 GiB in pages of 4 KiB, and names.
inline constexpr size_t kMaxPages = size_t{18} << 20;

struct Header {
  int64_t issued_unix_ms = 0;
  int64_t not_before_unix_ms = 0;
  int64_t not_after_unix_ms = 0;
  std::vector<std::string> signature_algorithms;
};

struct Region {
  std::string name;
  std::string severity;
  uint64_t pages = 0;
  DigestBytes selection;
  DigestBytes root;
};

struct AcceptedFinding {
  std::string code;
  std::string element;
};

struct Source {
  std::string vm_uuid;
  std::string host_id;
  int64_t time_unix_ms = 0;
  DigestBytes root;
};

struct Baseline {
  Header header;
  std::string name;
  uint64_t revision = 0;
  std::vector<std::string> vm_uuids;  // lower case, or "*"
  std::string policy_id;
  uint64_t policy_version = 0;
  DigestBytes policy_digest;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t page_bytes = 0;
  std::vector<Region> regions;
  DigestBytes pages_digest;
  DigestBytes records_root;
  uint64_t record_count = 0;
  DigestBytes code_hash;
  std::string kernel_release;
  Bytes kernel_build_id;
  std::vector<AcceptedFinding> accepted;
  uint32_t min_score = kDefaultMinScore;
  std::string run;
  Source source;
  std::string comment;
  std::optional<evidence::Boot> boot;

  [[nodiscard]] std::string id() const;      // "web-kernel@3"
  [[nodiscard]] std::string subset() const;  // "linux-kernel@1"
};

// The payload of a baseline document. Strict as wire/codec.h is.
// INVALID_ARGUMENT names the field.
Bytes Encode(const Baseline& baseline);
absl::StatusOr<Baseline> Parse(ByteView payload);

// A baseline of what was measured, for somebody to look at and sign: name,
// revision, VMs and validity are the caller's. Findings are accepted by none.
// Regions that were not measured, those named in `without`, and those of tasks
// are left out: the latter have no pages, and their records are compared.
// `pages`: a serialised SnapshotPages. INVALID_ARGUMENT: they are not that
// snapshot's; a name in `without` that is none.
absl::StatusOr<Baseline> FromSnapshot(const evidence::StateStatement& statement,
                                      ByteView pages,
                                      const std::vector<std::string>& without);

// A baseline with its pages, proved to belong together; ready to compare.
class LoadedBaseline {
 public:
  // INVALID_ARGUMENT: the pages are others.
  static absl::StatusOr<std::shared_ptr<const LoadedBaseline>> Load(
      Baseline baseline, ByteView pages);

  [[nodiscard]] const Baseline& baseline() const { return baseline_; }
  // By index of baseline().regions.
  [[nodiscard]] const DigestTree& tree(size_t region) const {
    return trees_[region];
  }
  [[nodiscard]] const evidence::SnapshotPages::Region& pages(
      size_t region) const {
    return regions_[region];  // its digests are in tree()
  }
  [[nodiscard]] const std::vector<evidence::StateRecord>& records() const {
    return records_;
  }
  [[nodiscard]] size_t memory() const { return memory_; }  // bytes, about

 private:
  LoadedBaseline() = default;
  absl::Status Add(const Region& region,
                   evidence::SnapshotPages::Region& pages);

  Baseline baseline_;
  std::vector<DigestTree> trees_;
  std::vector<evidence::SnapshotPages::Region> regions_;
  std::vector<evidence::StateRecord> records_;
  size_t memory_ = 0;
};

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_BASELINE_H_
