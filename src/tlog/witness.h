#ifndef VMATTEST_TLOG_WITNESS_H_
#define VMATTEST_TLOG_WITNESS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tlog/checkpoint.h"
#include "tlog/note.h"

// The rules of a witness, c2sp.org/tlog-witness@v1.0.0.

namespace vmattest::tlog {

// Body of POST add-checkpoint: "old SIZE\n", consistency proof, blank line,
// checkpoint.
struct AddCheckpoint {
  uint64_t old_size = 0;
  std::vector<Bytes> proof;  // at most 63 hashes
  std::string note;
};
inline constexpr size_t kMaxAddCheckpointSize = 64u << 10;
absl::StatusOr<AddCheckpoint> ParseAddCheckpoint(std::string_view body);
std::string EncodeAddCheckpoint(const AddCheckpoint& request);

// The last checkpoint that was cosigned for each log. Durable before it
// answers; callable from any thread.
class WitnessStore {
 public:
  struct Seen {
    uint64_t size = 0;
    Bytes root;        // empty for size 0
    std::string note;  // the log's own, as it came
    friend bool operator==(const Seen&, const Seen&) = default;
  };
  virtual ~WitnessStore() = default;
  // Size 0 for a log that was never seen.
  virtual absl::StatusOr<Seen> Find(const std::string& origin) = 0;
  // ABORTED: what is there is not `before`.
  virtual absl::Status Replace(const std::string& origin, const Seen& before,
                               const Seen& after) = 0;
};

// Two notes of a log that cannot both be: one size, two roots; or two sizes,
// and the larger tree does not have the smaller one's root, as its consistency
// proof from another root shows. A portable proof: whoever has the log's key
// can check it.
struct ForkProof {
  std::string first;  // of the smaller tree
  std::string second;
  // Of two sizes: the root that the second tree had at the first one's size,
  // and the proof of that (RFC 6962 section 2.1.2).
  Bytes earlier_root = {};
  std::vector<Bytes> path = {};
};
struct Fork {
  std::string origin;
  std::string key;  // the vkey that signed both
  uint64_t size = 0;
  Bytes first_root;
  Bytes second_root;        // at that size
  uint64_t later_size = 0;  // of the second note
};
// INVALID_ARGUMENT: it proves nothing, and why.
absl::StatusOr<Fork> CheckFork(const ForkProof& proof,
                               const std::vector<NoteVerifier>& logs);
// A file: the first note, a line "=====", the second; of two sizes another such
// line, and in base64, a line each, the earlier root and the path.
std::string EncodeForkProof(const ForkProof& proof);
absl::StatusOr<ForkProof> ParseForkProof(std::string_view file);

// What HTTP would answer.
struct WitnessReply {
  int status = 0;    // 200, 400, 403, 404, 409, 422
  std::string body;  // 200: signature lines; 409: the size held; else a reason
  // With 409: two notes of one size, or the note that is held of a tree larger
  // than that asked about (`first`). With 422: both notes, of two sizes,
  // without root and path; who has the log can complete it.
  std::optional<ForkProof> fork;
};

// Cosigns what is consistent with all that it cosigned before. Callable from
// any thread; blocks for the store.
class Witness {
 public:
  using Now = std::function<int64_t()>;  // seconds
  // `logs`: whose checkpoints; `signers`: its cosigners, one of each type.
  Witness(std::vector<NoteVerifier> logs,
          std::vector<std::unique_ptr<NoteSigner>> signers, WitnessStore& store,
          Now now);

  // An error: not able to decide (the store).
  absl::StatusOr<WitnessReply> Add(std::string_view body);

 private:
  absl::StatusOr<WitnessReply> Decide(const AddCheckpoint& request,
                                      const Note& note,
                                      const Checkpoint& checkpoint);
  absl::StatusOr<std::string> Cosign(const Note& note);

  const std::vector<NoteVerifier> logs_;
  const std::vector<std::unique_ptr<NoteSigner>> signers_;
  WitnessStore& store_;
  const Now now_;
};

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_WITNESS_H_
