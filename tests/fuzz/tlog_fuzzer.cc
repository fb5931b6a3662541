// Hostile notes, checkpoints, policies, bundles, requests to a witness and
// proofs of forks: what parses writes itself again, nothing is believed.

#include <cstdlib>

#include "tlog/policy.h"
#include "tlog/tile.h"
#include "tlog/witness.h"

namespace vmattest::tlog {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Nobody has its private key.
constexpr std::string_view kLog =
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

void RunNote(std::string_view text) {
  static const std::vector<NoteVerifier>& logs =
      *new std::vector<NoteVerifier>{NoteVerifier::Parse(kLog).value()};
  if (const auto note = ParseNote(text); note.ok()) {
    Require(EncodeNote(*note) == text);
    (void)OpenNote(text, logs).ok();
  }
  if (const auto checkpoint = ParseCheckpoint(text); checkpoint.ok()) {
    Require(EncodeCheckpoint(*checkpoint) == text);
  }
  if (const auto request = ParseAddCheckpoint(text); request.ok()) {
    Require(EncodeAddCheckpoint(*request) == text);
  }
  if (const auto proof = ParseForkProof(text); proof.ok()) {
    Require(EncodeForkProof(*proof) == text);
    Require(!CheckFork(*proof, logs).ok());
  }
}

void RunPolicy(std::string_view text) {
  if (const auto key = NoteVerifier::Parse(text); key.ok()) {
    Require(key->vkey() == text);
  }
  const auto policy = WitnessPolicy::Parse(text);
  if (!policy.ok()) {
    return;
  }
  // Nobody's cosignatures are a quorum only where none is asked for.
  Require(policy->HasQuorum({}, 0) == (policy->threshold() == 0));
  std::vector<VerifiedSignature> all;
  for (size_t i = 0; i < policy->verifiers().size(); ++i) {
    all.push_back({.verifier = i, .time_unix_s = 1});
  }
  Require(!policy->HasQuorum(all, 2) || policy->threshold() == 0);
}

void RunBundle(ByteView bytes) {
  if (bytes.empty()) {
    return;
  }
  const auto entries = ParseEntryBundle(bytes.subspan(1), bytes[0]);
  if (entries.ok()) {
    Require(AsText(EncodeEntryBundle(*entries)) == AsText(bytes.subspan(1)));
  }
}

}  // namespace
}  // namespace vmattest::tlog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vmattest::ByteView bytes(data, size);
  vmattest::tlog::RunNote(vmattest::AsText(bytes));
  vmattest::tlog::RunPolicy(vmattest::AsText(bytes));
  vmattest::tlog::RunBundle(bytes);
  return 0;
}
