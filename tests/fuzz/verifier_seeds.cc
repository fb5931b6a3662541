// Writes the seeds of the verifier's fuzzers: vmattest_verifier_seeds CORPUS.

#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "support/evidence_builder.h"
#include "support/host_log_evidence.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

void Write(const std::filesystem::path& path, ByteView content) {
  std::filesystem::create_directories(path.parent_path());
  if (const absl::Status status = WriteFileAtomic(path, content);
      !status.ok()) {
    std::cerr << status.ToString() << "\n";
    std::exit(1);
  }
}

Bytes Tagged(uint8_t parser, ByteView bytes) {
  ByteWriter writer;
  writer.U8(parser).Raw(bytes);
  return std::move(writer).Take();
}

void WriteEvidence(const std::filesystem::path& folder,
                   const testing::SoftHost& host) {
  testing::EvidenceBuilder builder(host);
  Write(folder / "single", builder.BuildFile());
  builder.batch_size = 5;
  builder.batch_index = 3;
  builder.cached = {{"disk/vda/digest", 5}};
  builder.algorithm = HashAlgorithm::kBlake3;
  Write(folder / "batch", builder.BuildFile());
  evidence::Evidence hybrid = builder.Build();
  hybrid.envelope.signatures.push_back(
      {.algorithm = "ml-dsa-65",
       .body = evidence::RawSignature{Bytes(32, 1), Bytes(40, 2)}});
  Write(folder / "hybrid", wire::EncodeEvidence(hybrid));
}

void WriteDisclosures(const std::filesystem::path& folder,
                      const testing::SoftHost& host) {
  // As in disclosure_fuzzer.cc: these leaves are in its trees.
  testing::EvidenceBuilder builder(host);
  builder.subtrees["disk/vda/inside"] = {
      {"package[bash:amd64]", LeafType::kText, "5.2"},
      {"table", LeafType::kText, "gpt"}};
  const std::vector<std::string> leaves = {
      "memory/max", "disk/vda/inside/package[bash:amd64]"};
  Write(folder / "open",
        wire::EncodeDisclosure(builder.BuildDisclosure(leaves)));
  builder.vm_salt = Bytes(32, 9);
  Write(folder / "salted",
        wire::EncodeDisclosure(builder.BuildDisclosure(leaves)));
  evidence::Disclosure bare = builder.BuildDisclosure({"@tree"});
  bare.envelope = {};
  bare.keys.clear();
  Write(folder / "no-envelope", wire::EncodeDisclosure(bare));
}

void WriteEventLogs(const std::filesystem::path& folder,
                    const testing::SoftHost& host) {
  const auto write = [&folder](const char* name,
                               const eventlog::Bundle& bundle) {
    Write(folder / name, AsBytes(eventlog::EncodeBundle(bundle)));
  };
  testing::HostLogEvidence evidence(host);
  const eventlog::Bundle sound = evidence.Build();
  write("sound", sound);
  eventlog::Bundle lost = sound;
  lost.records.erase(lost.records.begin(), lost.records.begin() + 4);
  write("records-lost", lost);
  eventlog::Bundle dark = sound;
  dark.boot_log.clear();
  write("no-boot-log", dark);
  evidence.log = testing::HostLogBuilder();
  evidence.log.Boot(true);
  evidence.log.Launch("web");
  evidence.log.Boot(false);
  write("unclean", evidence.Build());
}

void WriteQuotes(const std::filesystem::path& folder,
                 const testing::SoftHost& host) {
  const evidence::Evidence evidence = testing::EvidenceBuilder(host).Build();
  const auto& quote = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
  Write(folder / "quote", Tagged(0, quote.quoted));
  Write(folder / "certify", Tagged(0, evidence.keys.front().certify_info));
  Write(folder / "signature", Tagged(1, quote.signature));
  Write(folder / "ak", Tagged(2, host.ak.public_area()));
  Write(folder / "ek", Tagged(2, host.ek.public_area()));
}

}  // namespace
}  // namespace vmattest

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: vmattest_verifier_seeds CORPUS\n";
    return 2;
  }
  const std::filesystem::path corpus = argv[1];
  const vmattest::testing::SoftHost host;
  vmattest::WriteEvidence(corpus / "evidence_fuzzer", host);
  vmattest::WriteDisclosures(corpus / "disclosure_fuzzer", host);
  vmattest::WriteEventLogs(corpus / "verify_event_log_fuzzer", host);
  vmattest::WriteQuotes(corpus / "quote_fuzzer", host);
  vmattest::evidence::HostIdentity identity = host.Identity();
  identity.keys.resize(1);
  const std::string json = vmattest::wire::HostIdentityToJson(identity);
  vmattest::Write(corpus / "host_identity_fuzzer" / "json",
                  vmattest::AsBytes(json));
  vmattest::Write(corpus / "host_identity_fuzzer" / "binary",
                  vmattest::wire::EncodeHostIdentity(identity));
  return 0;
}
