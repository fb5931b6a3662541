#include "tlog/witness.h"

#include <algorithm>
#include <utility>

#include "base/base64.h"
#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::tlog {
namespace {

constexpr size_t kMaxProof = 63;
constexpr size_t kHashSize = 32;
constexpr std::string_view kOld = "old ";

WitnessReply Refuse(int status, std::string body) {
  return {.status = status, .body = std::move(body) + "\n"};
}

constexpr std::string_view kBetween = "=====\n";

// The root that the second tree had at the first one's size.
absl::StatusOr<Bytes> EarlierRoot(const ForkProof& proof, const Checkpoint& a,
                                  const Checkpoint& b) {
  if (a.size == b.size) {
    return b.root;
  }
  if (a.size == 0 || a.size > b.size || proof.earlier_root.empty()) {
    return absl::InvalidArgumentError(
        "the notes are of different sizes, and no consistency proof says what "
        "the smaller tree was: no proof of a fork");
  }
  if (!merkle::VerifyConsistency(HashAlgorithm::kSha256, a.size, b.size,
                                 proof.earlier_root, b.root, proof.path)) {
    return absl::InvalidArgumentError(
        "the path does not lead from the earlier root to the second note's: no "
        "proof of a fork");
  }
  return proof.earlier_root;
}

}  // namespace

absl::StatusOr<Fork> CheckFork(const ForkProof& proof,
                               const std::vector<NoteVerifier>& logs) {
  ASSIGN_OR_RETURN_WITH(const OpenedNote first, OpenNote(proof.first, logs),
                        "first note");
  ASSIGN_OR_RETURN_WITH(const OpenedNote second, OpenNote(proof.second, logs),
                        "second note");
  ASSIGN_OR_RETURN(const Checkpoint a, ParseCheckpoint(first.note.text));
  ASSIGN_OR_RETURN(const Checkpoint b, ParseCheckpoint(second.note.text));
  if (a.origin != b.origin) {
    return absl::InvalidArgumentError(
        "the notes are of different logs: no proof of a fork");
  }
  ASSIGN_OR_RETURN(const Bytes root, EarlierRoot(proof, a, b));
  if (a.root == root) {
    return absl::InvalidArgumentError("both notes have the same root: no fork");
  }
  for (const VerifiedSignature& one : first.verified) {
    for (const VerifiedSignature& other : second.verified) {
      const NoteVerifier& log = logs[one.verifier];
      if (one.verifier == other.verifier && log.name() == a.origin &&
          !IsCosignature(log.type())) {
        return Fork{.origin = a.origin,
                    .key = log.vkey(),
                    .size = a.size,
                    .first_root = a.root,
                    .second_root = root,
                    .later_size = b.size};
      }
    }
  }
  return absl::InvalidArgumentError(
      "no key of the log signed both notes: no proof of a fork");
}

std::string EncodeForkProof(const ForkProof& proof) {
  std::string file = proof.first + std::string(kBetween) + proof.second;
  if (!proof.earlier_root.empty()) {
    file += std::string(kBetween) + ToBase64(proof.earlier_root) + "\n";
    for (const Bytes& hash : proof.path) {
      file += ToBase64(hash) + "\n";
    }
  }
  return file;
}

absl::StatusOr<ForkProof> ParseForkProof(std::string_view file) {
  const std::string between = "\n" + std::string(kBetween);
  const size_t at = file.find(between);
  if (at == std::string_view::npos) {
    return absl::InvalidArgumentError("two notes with a line ===== between");
  }
  ForkProof proof{.first = std::string(file.substr(0, at + 1))};
  std::string_view rest = file.substr(at + between.size());
  const size_t end = rest.find(between);
  proof.second = std::string(rest.substr(0, end == rest.npos ? end : end + 1));
  if (end == rest.npos) {
    return proof;
  }
  rest.remove_prefix(end + between.size());
  while (!rest.empty()) {
    const size_t line = rest.find('\n');
    ASSIGN_OR_RETURN_WITH(Bytes hash, ParseBase64(rest.substr(0, line)),
                          "proof of a fork: path");
    if (line == rest.npos || hash.size() != kHashSize ||
        proof.path.size() == kMaxProof) {
      return absl::InvalidArgumentError(
          "proof of a fork: an earlier root and at most 63 hashes, a line "
          "each");
    }
    if (proof.earlier_root.empty()) {
      proof.earlier_root = std::move(hash);
    } else {
      proof.path.push_back(std::move(hash));
    }
    rest.remove_prefix(line + 1);
  }
  if (proof.earlier_root.empty()) {
    return absl::InvalidArgumentError("proof of a fork: no earlier root");
  }
  return proof;
}

absl::StatusOr<AddCheckpoint> ParseAddCheckpoint(std::string_view body) {
  const size_t blank = body.find("\n\n");
  if (body.size() > kMaxAddCheckpointSize || blank == std::string_view::npos ||
      !body.starts_with(kOld)) {
    return absl::InvalidArgumentError("add-checkpoint: not old, proof, note");
  }
  AddCheckpoint request{.note = std::string(body.substr(blank + 2))};
  std::string_view lines = body.substr(0, blank + 1);
  size_t end = lines.find('\n');
  ASSIGN_OR_RETURN_WITH(
      request.old_size,
      ParseDecimal(lines.substr(kOld.size(), end - kOld.size())),
      "add-checkpoint: old size");
  for (lines.remove_prefix(end + 1); !lines.empty();
       lines.remove_prefix(end + 1)) {
    end = lines.find('\n');
    ASSIGN_OR_RETURN_WITH(Bytes hash, ParseBase64(lines.substr(0, end)),
                          "add-checkpoint: proof");
    if (hash.size() != kHashSize || request.proof.size() == kMaxProof) {
      return absl::InvalidArgumentError("add-checkpoint: proof");
    }
    request.proof.push_back(std::move(hash));
  }
  return request;
}

std::string EncodeAddCheckpoint(const AddCheckpoint& request) {
  std::string body = fmt::format("{}{}\n", kOld, request.old_size);
  for (const Bytes& hash : request.proof) {
    body += ToBase64(hash) + "\n";
  }
  return body + "\n" + request.note;
}

Witness::Witness(std::vector<NoteVerifier> logs,
                 std::vector<std::unique_ptr<NoteSigner>> signers,
                 WitnessStore& store, Now now)
    : logs_(std::move(logs)),
      signers_(std::move(signers)),
      store_(store),
      now_(std::move(now)) {}

absl::StatusOr<WitnessReply> Witness::Add(std::string_view body) {
  const absl::StatusOr<AddCheckpoint> request = ParseAddCheckpoint(body);
  if (!request.ok()) {
    return Refuse(400, std::string(request.status().message()));
  }
  const absl::StatusOr<Note> note = ParseNote(request->note);
  const absl::StatusOr<Checkpoint> checkpoint =
      note.ok() ? ParseCheckpoint(note->text) : note.status();
  if (!checkpoint.ok()) {
    return Refuse(400, std::string(checkpoint.status().message()));
  }
  const auto is_log = [&](const NoteVerifier& log) {
    return log.name() == checkpoint->origin;
  };
  if (std::none_of(logs_.begin(), logs_.end(), is_log)) {
    return Refuse(404, fmt::format("unknown log {}", checkpoint->origin));
  }
  const absl::StatusOr<OpenedNote> opened = OpenNote(request->note, logs_);
  const auto by_it = [&](const VerifiedSignature& signature) {
    return is_log(logs_[signature.verifier]);
  };
  if (!opened.ok() ||
      std::none_of(opened->verified.begin(), opened->verified.end(), by_it)) {
    return Refuse(403, "no signature by the log");
  }
  if (request->old_size > checkpoint->size) {
    return Refuse(400, "old size larger than checkpoint size");
  }
  return Decide(*request, *note, *checkpoint);
}

absl::StatusOr<WitnessReply> Witness::Decide(const AddCheckpoint& request,
                                             const Note& note,
                                             const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const WitnessStore::Seen seen,
                   store_.Find(checkpoint.origin));
  const bool forked = seen.size == checkpoint.size && seen.size > 0 &&
                      seen.root != checkpoint.root;
  const ForkProof both{.first = seen.note, .second = request.note};
  if (request.old_size != seen.size) {
    WitnessReply reply = Refuse(409, fmt::format("{}", seen.size));
    if (forked || checkpoint.size < seen.size) {
      reply.fork = both;
    }
    return reply;
  }
  const bool consistent =
      seen.size == 0 ? request.proof.empty()
                     : merkle::VerifyConsistency(
                           HashAlgorithm::kSha256, seen.size, checkpoint.size,
                           seen.root, checkpoint.root, request.proof);
  if (!consistent) {
    WitnessReply reply =
        Refuse(forked ? 409 : 422, forked ? fmt::format("{}", seen.size)
                                          : "not consistent with what was "
                                            "cosigned before");
    if (seen.size > 0) {
      reply.fork = both;
    }
    return reply;
  }
  ASSIGN_OR_RETURN(std::string lines, Cosign(note));
  const absl::Status stored = store_.Replace(
      checkpoint.origin, seen,
      {.size = checkpoint.size, .root = checkpoint.root, .note = request.note});
  if (absl::IsAborted(stored)) {
    ASSIGN_OR_RETURN(const WitnessStore::Seen now,
                     store_.Find(checkpoint.origin));
    return Refuse(409, fmt::format("{}", now.size));
  }
  RETURN_IF_ERROR(stored);
  return WitnessReply{.status = 200, .body = std::move(lines)};
}

absl::StatusOr<std::string> Witness::Cosign(const Note& note) {
  Note cosigned{.text = note.text};
  for (const std::unique_ptr<NoteSigner>& signer : signers_) {
    RETURN_IF_ERROR(AddSignature(cosigned, *signer, now_()));
  }
  return EncodeNote(cosigned).substr(cosigned.text.size() + 1);
}

}  // namespace vmattest::tlog
