// Hostile documents and key files: an accepted one is one that was signed, and
// what was parsed writes itself again.

#include <cstdlib>

#include "document/document.h"
#include "vmattest/v1/document.pb.h"
#include "wire/messages.h"

namespace vmattest::document {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

struct Signer {
  PrivateKey key = PrivateKey::Generate("fuzzer", std::nullopt).value();
  std::vector<PublicKey> keys{key.public_key()};
};

void Run(ByteView bytes) {
  static const Signer& signer = *new Signer();
  if (const auto key = ParsePublicKey(AsText(bytes)); key.ok()) {
    const auto again = ParsePublicKey(PublicKeyToJson(*key));
    Require(again.ok() && again->key_id == key->key_id);
  }
  (void)PrivateKey::Parse(SecretBytes(ToBytes(bytes))).ok();
  // Nobody has this key: no bytes may pass for its word.
  Require(!Open(bytes, kReferencePayloadType, signer.keys).verdict.trusted());
  const auto unchecked = Peek(bytes);
  if (!unchecked.ok()) {
    return;
  }
  // Further in: the same payload under a signer that is known.
  v1::SignedDocument document;
  Require(
      document.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  for (v1::Signature& signature :
       *document.mutable_envelope()->mutable_signatures()) {
    if (signature.has_raw()) {
      signature.mutable_raw()->set_key_id(wire::ToField(signer.keys[0].key_id));
    }
  }
  Require(!Open(wire::Serialize(document), unchecked->payload_type, signer.keys)
               .verdict.trusted());
  if (const auto file =
          signer.key.Sign(unchecked->payload_type, unchecked->payload);
      file.ok()) {
    const Opened opened = Open(*file, unchecked->payload_type, signer.keys);
    Require(opened.verdict.trusted() && opened.payload == unchecked->payload);
  }
}

}  // namespace
}  // namespace vmattest::document

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::document::Run({data, size});
  return 0;
}
