// What a signer reads from its folder and is given to sign. The first byte
// chooses the parser.

#include <cstdlib>

#include "signing/log_file.h"
#include "signing/seed_file.h"
#include "signing/statement_check.h"

namespace vmattest::signing {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void RunSeed(ByteView bytes) {
  const auto seed = ParseSeedFile(bytes);
  if (seed.ok()) {
    Require(EncodeSeedFile(*seed) == ToBytes(bytes));
  }
}

// What is believed of a file reads alike without the rest.
void RunLog(ByteView bytes) {
  const LogFileContent content = ReadLogFile(bytes, HashAlgorithm::kSha256);
  Require(content.valid_size <= bytes.size());
  Require(content.damage.empty() == (content.valid_size == bytes.size()));
  Require(content.records.empty() == (content.valid_size == 0));
  const LogFileContent again =
      ReadLogFile(bytes.first(content.valid_size), HashAlgorithm::kSha256);
  Require(again.damage.empty());
  Require(again.records.size() == content.records.size());
  for (const FileRecord& record : content.records) {
    Require(record.after.size == record.before.size + 1);
  }
}

void RunStatement(std::string_view type, ByteView bytes) {
  SignerState state;
  state.identity.emplace();
  state.log.emplace();
  const auto purpose = CheckStatement(type, bytes, state);
  Require(!purpose.ok() || *purpose == KeyPurpose::kConfig);
}

}  // namespace
}  // namespace vmattest::signing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest;           // NOLINT
  using namespace vmattest::signing;  // NOLINT
  if (size == 0) {
    return 0;
  }
  const ByteView bytes(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      RunSeed(bytes);
      break;
    case 1:
      RunLog(bytes);
      break;
    case 2:
      RunStatement(evidence::kConfigPayloadType, bytes);
      break;
    default:
      RunStatement(evidence::kHostLogPayloadType, bytes);
  }
  return 0;
}
