// Writes the seeds of enrolment's fuzzers: vmattest_enrollment_seeds CORPUS.

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "support/ek_pki.h"
#include "support/soft_tpm.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

void Write(const std::filesystem::path& path, ByteView content) {
  std::filesystem::create_directories(path.parent_path());
  if (!WriteFileAtomic(path, content).ok()) {
    std::exit(1);
  }
}

Bytes Pair(ByteView certificate, ByteView ek) {
  ByteWriter writer;
  writer.U16(static_cast<uint16_t>(certificate.size()));
  writer.Raw(certificate).Raw(ek);
  return std::move(writer).Take();
}

void WriteAll(const std::filesystem::path& corpus) {
  const testing::SoftHost host;
  const testing::EkPki pki;
  const Bytes& ek = host.ek.public_area();
  const std::filesystem::path certificates = corpus / "ek_certificate_fuzzer";
  Bytes der = pki.Issue(ek);
  Write(certificates / "plain", Pair(der, ek));
  der.resize(der.size() + 64, 0xFF);
  Write(certificates / "padded", Pair(der, ek));
  Write(certificates / "strange",
        Pair(pki.Issue(ek, {.extended_key_usage = "serverAuth",
                            .more = {{"2.5.29.9", "critical,DER:3000"},
                                     {"1.2.3.4", "critical,DER:0500"}},
                            .serial = "-5"}),
             ek));
  const Bytes rsa = testing::RsaEk();
  Write(certificates / "rsa-oaep",
        Pair(pki.Issue(rsa, {.oaep_algorithm = true}), rsa));
  const std::filesystem::path identities =
      corpus / "enrollment_identity_fuzzer";
  evidence::HostIdentity identity = host.Identity();
  Write(identities / "whole", wire::EncodeHostIdentity(identity));
  identity.keys.resize(1);
  Write(identities / "one-key", wire::EncodeHostIdentity(identity));
  identity.keys.clear();
  Write(identities / "bare", wire::EncodeHostIdentity(identity));
}

}  // namespace
}  // namespace vmattest

int main(int argc, char** argv) {
  if (argc != 2) {
    return 2;
  }
  vmattest::WriteAll(argv[1]);
  return 0;
}
