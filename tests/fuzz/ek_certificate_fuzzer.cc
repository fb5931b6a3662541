// Hostile EK certificates and EKs, and what a credential is made for them.
// Input: size of the certificate (2 bytes), certificate, EK's public area.

#include <cstdlib>

#include "enrollment/credential.h"
#include "enrollment/ek_certificate.h"
#include "enrollment/ek_public.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Run(ByteView bytes) {
  static const enrollment::EkRoots no_roots;
  // 2026-01-01.
  const WallTime now(std::chrono::seconds(1'767'225'600));
  ByteReader reader(bytes);
  const uint16_t size = reader.U16();
  const ByteView certificate = reader.Raw(size);
  if (!reader.ok()) {
    return;
  }
  const ByteView ek = reader.Raw(reader.remaining());
  const Verdict verdict =
      enrollment::CheckEkCertificate(certificate, ek, no_roots, now);
  // Nobody is trusted.
  Require(!verdict.trusted() && !verdict.reasons.empty());
  // A certificate of its own for a root: nothing but itself is trusted by it.
  enrollment::EkRoots roots;
  if (roots.Add(certificate).ok()) {
    (void)enrollment::CheckEkCertificate(certificate, ek, roots, now);
  }
  const auto parsed = enrollment::ParseEkPublic(ek);
  const Bytes name = {0x00, 0x0B};
  Bytes ak_name(34, 0x11);
  std::copy(name.begin(), name.end(), ak_name.begin());
  const auto made =
      enrollment::MakeCredential(ek, ak_name, SecretBytes(Bytes(32, 0x42)));
  Require(parsed.ok() || !made.ok());
  if (made.ok()) {
    Require(enrollment::EkFingerprint(ek).ok());
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
