#include <gmock/gmock.h>

#include <map>
#include <sstream>

#include "crypto/digest.h"
#include "document/document.h"
#include "document/reason_codes.h"
#include "evidence/envelope.h"
#include "reference/reason_codes.h"
#include "reference/reference.h"
#include "support/vectors.h"

// docs/formats/documents.md and docs/references.md, held to what the code does.

namespace vmattest::reference {
namespace {

std::string Doc(std::string_view name) {
  return testing::Slurp(std::filesystem::path(VMATTEST_DOCS) / name);
}

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

// The codes of the table rows "| `code` | ..." of "## Reason codes".
std::vector<std::string> DocumentedCodes(std::string_view doc) {
  std::vector<std::string> codes;
  bool inside = false;
  for (const std::string& line : Lines(Doc(doc))) {
    if (line.starts_with("## ")) {
      inside = line == "## Reason codes";
    }
    if (inside && line.starts_with("| `")) {
      codes.push_back(line.substr(3, line.find('`', 3) - 3));
    }
  }
  return codes;
}

// The fenced blocks of a section, by the word after the fence.
std::vector<std::string> Blocks(std::string_view doc, std::string_view kind) {
  std::vector<std::string> blocks;
  bool inside = false;
  for (const std::string& line : Lines(Doc(doc))) {
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back() += line + "\n";
    } else if (line == "```" + std::string(kind)) {
      inside = true;
      blocks.emplace_back();
    }
  }
  return blocks;
}

// "label: hex", going on in lines that begin with spaces.
std::map<std::string, std::string> Labels(const std::string& block) {
  std::map<std::string, std::string> values;
  std::string label;
  for (const std::string& line : Lines(block)) {
    if (line.starts_with("    ")) {
      values[label] += line.substr(4);
    } else {
      label = line.substr(0, line.find(": "));
      values[label] = line.substr(line.find(": ") + 2);
    }
  }
  return values;
}

TEST(ReferenceDocs, EveryReasonCodeIsExplainedInOrder) {
  EXPECT_EQ(DocumentedCodes("references.md"),
            std::vector<std::string>(std::begin(reason::kAll),
                                     std::end(reason::kAll)));
  EXPECT_EQ(DocumentedCodes("formats/documents.md"),
            std::vector<std::string>(std::begin(document::reason::kAll),
                                     std::end(document::reason::kAll)));
}

TEST(ReferenceDocs, EveryExampleOfAReferenceIsOne) {
  const std::vector<std::string> examples = Blocks("references.md", "yaml");
  EXPECT_EQ(examples.size(), 3u);
  for (const std::string& example : examples) {
    const auto reference = FromYaml(example);
    EXPECT_TRUE(reference.ok()) << reference.status().ToString();
  }
}

TEST(DocumentDocs, TheWorkedExampleHolds) {
  const auto key =
      document::ParsePublicKey(Blocks("formats/documents.md", "json").at(0));
  ASSERT_TRUE(key.ok()) << key.status().ToString();
  const auto reference = FromYaml(Blocks("formats/documents.md", "yaml").at(0));
  ASSERT_TRUE(reference.ok()) << reference.status().ToString();
  std::map<std::string, std::string> values =
      Labels(Blocks("formats/documents.md", "hex").at(0));
  EXPECT_EQ(values["key id"], ToHex(key->key_id));
  const Bytes payload = Encode(*reference);
  EXPECT_EQ(values["payload"], ToHex(payload));
  EXPECT_EQ(values["sha256(PAE)"],
            ToHex(Hash(HashAlgorithm::kSha256,
                       evidence::PreAuthEncoding(
                           document::kReferencePayloadType, payload))));
  const auto file = ParseHex(values["document"]);
  ASSERT_TRUE(file.ok());
  const std::vector<document::PublicKey> keys{*key};
  const document::Opened opened =
      document::Open(*file, document::kReferencePayloadType, keys);
  ASSERT_TRUE(opened.verdict.trusted()) << opened.verdict.reasons[0].code;
  EXPECT_EQ(opened.payload, payload);
  EXPECT_TRUE(Parse(opened.payload).ok());
}

}  // namespace
}  // namespace vmattest::reference
