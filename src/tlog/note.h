#ifndef VMATTEST_TLOG_NOTE_H_
#define VMATTEST_TLOG_NOTE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tlog/note_key.h"

// Signed notes, c2sp.org/signed-note@v1.0.0. Pure; callable from any thread.

namespace vmattest::tlog {

inline constexpr size_t kMaxNoteSize = 1'000'000;
inline constexpr size_t kMaxNoteSignatures = 100;

struct NoteSignature {
  std::string name;
  uint32_t key_id = 0;
  Bytes signature;  // without the key id
  friend bool operator==(const NoteSignature&, const NoteSignature&) = default;
};

struct Note {
  std::string text;  // with its last newline
  std::vector<NoteSignature> signatures;
};

// Strict; signatures unchecked. INVALID_ARGUMENT: no such note.
absl::StatusOr<Note> ParseNote(std::string_view bytes);
std::string EncodeNote(const Note& note);

// `signer`'s signature under `note`, instead of one that it made before.
absl::Status AddSignature(Note& note, NoteSigner& signer, int64_t time_unix_s);

struct VerifiedSignature {
  size_t verifier = 0;      // index in what OpenNote was given
  int64_t time_unix_s = 0;  // of a cosignature; 0 of others
};
struct OpenedNote {
  Note note;
  std::vector<VerifiedSignature> verified;  // each verifier once
  std::vector<NoteSignature> unverified;    // by keys that nobody named
};
// A note that at least one of `verifiers` signed. INVALID_ARGUMENT: malformed,
// no signature by any of them, a wrong one by one of them, or two verifiers
// that go by the same name and id.
absl::StatusOr<OpenedNote> OpenNote(std::string_view bytes,
                                    std::span<const NoteVerifier> verifiers);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_NOTE_H_
