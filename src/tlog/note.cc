#include "tlog/note.h"

#include <algorithm>
#include <optional>

#include "base/base64.h"
#include "fmt/format.h"
#include "tlog/utf8.h"

namespace vmattest::tlog {
namespace {

constexpr std::string_view kDash = "\xE2\x80\x94 ";  // em dash, space

absl::Status Malformed(std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("malformed note: {}", problem));
}

absl::StatusOr<NoteSignature> ParseLine(std::string_view line) {
  if (!line.starts_with(kDash)) {
    return Malformed("a signature line without its dash");
  }
  line.remove_prefix(kDash.size());
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || !IsKeyName(line.substr(0, space))) {
    return Malformed("a signature line without a key's name");
  }
  const absl::StatusOr<Bytes> bytes = ParseBase64(line.substr(space + 1));
  if (!bytes.ok() || bytes->size() < 5) {
    return Malformed("a signature that is no base64 of at least 5 bytes");
  }
  ByteReader reader(*bytes);
  NoteSignature signature{.name = std::string(line.substr(0, space)),
                          .key_id = reader.U32()};
  signature.signature = ToBytes(reader.Raw(reader.remaining()));
  return signature;
}

// The one that made `signature`; nothing if nobody did.
absl::StatusOr<std::optional<size_t>> FindVerifier(
    const NoteSignature& signature, std::span<const NoteVerifier> verifiers) {
  std::optional<size_t> found;
  for (size_t i = 0; i < verifiers.size(); ++i) {
    if (verifiers[i].name() != signature.name ||
        verifiers[i].key_id() != signature.key_id) {
      continue;
    }
    if (found) {
      return absl::InvalidArgumentError(
          fmt::format("ambiguous key {}", signature.name));
    }
    found = i;
  }
  return found;
}

}  // namespace

absl::StatusOr<Note> ParseNote(std::string_view bytes) {
  if (bytes.size() > kMaxNoteSize) {
    return Malformed(fmt::format("{} bytes", bytes.size()));
  }
  if (!IsNoteText(bytes)) {
    return Malformed("not UTF-8, or control characters");
  }
  const size_t blank = bytes.rfind("\n\n");
  if (blank == std::string_view::npos || !bytes.ends_with('\n')) {
    return Malformed("no blank line, or no newline at its end");
  }
  Note note{.text = std::string(bytes.substr(0, blank + 1))};
  std::string_view rest = bytes.substr(blank + 2);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (note.signatures.size() == kMaxNoteSignatures) {
      return Malformed("more than 100 signatures");
    }
    ASSIGN_OR_RETURN(NoteSignature signature, ParseLine(rest.substr(0, end)));
    note.signatures.push_back(std::move(signature));
    rest.remove_prefix(end + 1);
  }
  if (note.signatures.empty()) {
    return Malformed("no signature");
  }
  return note;
}

std::string EncodeNote(const Note& note) {
  std::string bytes = note.text + "\n";
  for (const NoteSignature& signature : note.signatures) {
    ByteWriter writer;
    writer.U32(signature.key_id).Raw(signature.signature);
    bytes += fmt::format("{}{} {}\n", kDash, signature.name,
                         ToBase64(writer.bytes()));
  }
  return bytes;
}

absl::Status AddSignature(Note& note, NoteSigner& signer, int64_t time_unix_s) {
  ASSIGN_OR_RETURN(Bytes bytes, signer.Sign(note.text, time_unix_s));
  std::erase_if(note.signatures, [&](const NoteSignature& signature) {
    return signature.name == signer.name() &&
           signature.key_id == signer.key_id();
  });
  note.signatures.push_back({.name = signer.name(),
                             .key_id = signer.key_id(),
                             .signature = std::move(bytes)});
  return absl::OkStatus();
}

absl::StatusOr<OpenedNote> OpenNote(std::string_view bytes,
                                    std::span<const NoteVerifier> verifiers) {
  OpenedNote opened;
  ASSIGN_OR_RETURN(opened.note, ParseNote(bytes));
  for (const NoteSignature& signature : opened.note.signatures) {
    ASSIGN_OR_RETURN(const std::optional<size_t> verifier,
                     FindVerifier(signature, verifiers));
    if (!verifier) {
      opened.unverified.push_back(signature);
      continue;
    }
    const auto same = [&](const VerifiedSignature& other) {
      return other.verifier == *verifier;
    };
    if (std::any_of(opened.verified.begin(), opened.verified.end(), same)) {
      continue;
    }
    const std::optional<int64_t> time =
        verifiers[*verifier].Verify(opened.note.text, signature.signature);
    if (!time) {
      return absl::InvalidArgumentError(
          fmt::format("invalid signature by {}", signature.name));
    }
    opened.verified.push_back({.verifier = *verifier, .time_unix_s = *time});
  }
  if (opened.verified.empty()) {
    return absl::InvalidArgumentError("no verifiable signatures");
  }
  return opened;
}

}  // namespace vmattest::tlog
