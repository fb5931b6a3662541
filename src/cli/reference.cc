#include "cli/reference.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/bytes.h"
#include "base/file.h"
#include "evidence/config_tree.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMaxMeasurementFile = 64u << 20;
constexpr size_t kMinRootSize = 32;

std::optional<LeafType> ParseLeafType(std::string_view name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(LeafType::kTree); ++i) {
    if (name == ToString(static_cast<LeafType>(i))) {
      return static_cast<LeafType>(i);
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::string> TextOf(const nlohmann::json& object,
                                   const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(
        fmt::format("measurement: no text '{}'", key));
  }
  return found->get<std::string>();
}

absl::StatusOr<ConfigLeaf> ParseLeaf(const nlohmann::json& object) {
  if (!object.is_object()) {
    return absl::InvalidArgumentError("measurement: a leaf is no object");
  }
  ConfigLeaf leaf;
  ASSIGN_OR_RETURN(leaf.path, TextOf(object, "path"));
  ASSIGN_OR_RETURN(leaf.value, TextOf(object, "value"));
  ASSIGN_OR_RETURN(const std::string name, TextOf(object, "type"));
  const std::optional<LeafType> type = ParseLeafType(name);
  if (!type) {
    return absl::InvalidArgumentError(
        fmt::format("leaf '{}': type '{}' is unknown", leaf.path, name));
  }
  leaf.type = *type;
  return leaf;
}

absl::StatusOr<ConfigTree> TreeOf(HashAlgorithm algorithm,
                                  std::vector<ConfigLeaf> leaves,
                                  const SecretBytes& vm_salt) {
  if (!leaves.empty() && leaves.front().path == kHeaderLeafPath) {
    return evidence::RebuildConfigTree(algorithm, std::move(leaves), vm_salt);
  }
  return evidence::BuildConfigTree(algorithm, std::move(leaves), vm_salt);
}

absl::StatusOr<Reference> Consistent(HashAlgorithm algorithm,
                                     std::vector<ConfigLeaf> leaves,
                                     const std::vector<ConfigSubtree>& subtrees,
                                     const DigestBytes& root,
                                     const SecretBytes& vm_salt) {
  ASSIGN_OR_RETURN(ConfigTree tree,
                   TreeOf(algorithm, std::move(leaves), vm_salt));
  if (tree.root != root) {
    return absl::InvalidArgumentError(
        fmt::format("the leaves give root {}, not {} as stated",
                    ToHex(tree.root), ToHex(root)));
  }
  // A reference that was cut to its main leaves still names those.
  if (!subtrees.empty()) {
    RETURN_IF_ERROR(
        evidence::CheckSubtrees(algorithm, tree.leaves, subtrees, vm_salt));
  }
  return Reference{
      .root = root,
      .algorithm = algorithm,
      .leaves = evidence::Flatten(std::move(tree.leaves), subtrees),
      .salted = !vm_salt.empty()};
}

absl::StatusOr<std::vector<ConfigLeaf>> ParseLeaves(const nlohmann::json& json,
                                                    std::string_view where) {
  const auto list = json.find("leaves");
  if (list == json.end() || !list->is_array()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: no list 'leaves'", where));
  }
  std::vector<ConfigLeaf> leaves;
  for (const nlohmann::json& object : *list) {
    ASSIGN_OR_RETURN(ConfigLeaf leaf, ParseLeaf(object));
    leaves.push_back(std::move(leaf));
  }
  return leaves;
}

absl::StatusOr<std::vector<ConfigSubtree>> ParseSubtrees(
    const nlohmann::json& json) {
  std::vector<ConfigSubtree> subtrees;
  const auto list = json.find("subtrees");
  if (list == json.end()) {
    return subtrees;
  }
  if (!list->is_array()) {
    return absl::InvalidArgumentError("measurement: 'subtrees' is no list");
  }
  for (const nlohmann::json& object : *list) {
    if (!object.is_object()) {
      return absl::InvalidArgumentError("measurement: a subtree is no object");
    }
    ConfigSubtree subtree;
    ASSIGN_OR_RETURN(subtree.path, TextOf(object, "path"));
    ASSIGN_OR_RETURN(subtree.leaves, ParseLeaves(object, subtree.path));
    subtrees.push_back(std::move(subtree));
  }
  return subtrees;
}

absl::StatusOr<Reference> FromMeasurement(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("measurement: not a JSON object");
  }
  ASSIGN_OR_RETURN(const std::string hex, TextOf(json, "root"));
  ASSIGN_OR_RETURN(const DigestBytes root, ParseHex(hex));
  ASSIGN_OR_RETURN(const std::string name, TextOf(json, "algorithm"));
  const std::optional<HashAlgorithm> algorithm = ParseHashAlgorithm(name);
  if (!algorithm) {
    return absl::InvalidArgumentError(
        fmt::format("measurement: algorithm '{}' is unknown", name));
  }
  ASSIGN_OR_RETURN(std::vector<ConfigLeaf> leaves,
                   ParseLeaves(json, "measurement"));
  ASSIGN_OR_RETURN(const std::vector<ConfigSubtree> subtrees,
                   ParseSubtrees(json));
  if (json.contains("salt_id")) {
    return Reference{.root = root,
                     .algorithm = *algorithm,
                     .leaves = evidence::Flatten(std::move(leaves), subtrees),
                     .salted = true};
  }
  return Consistent(*algorithm, std::move(leaves), subtrees, root,
                    SecretBytes());
}

absl::StatusOr<Reference> FromEvidence(ByteView bytes) {
  ASSIGN_OR_RETURN(evidence::Evidence evidence, wire::ParseEvidence(bytes));
  ASSIGN_OR_RETURN(const evidence::ConfigStatement statement,
                   wire::ParseConfigStatement(evidence.envelope.payload));
  if (evidence.leaves.empty() && !statement.salt_id.empty()) {
    return Reference{.root = statement.root,
                     .algorithm = statement.algorithm,
                     .leaves = {},
                     .salted = true};
  }
  return Consistent(statement.algorithm, std::move(evidence.leaves),
                    evidence.subtrees, statement.root,
                    SecretBytes(std::move(evidence.vm_salt)));
}

absl::StatusOr<Reference> FromRoot(const std::string& text) {
  absl::StatusOr<Bytes> root = ParseHex(text);
  if (!root.ok() || root->size() < kMinRootSize) {
    return absl::NotFoundError(
        fmt::format("{}: no such file, and not a root in hex", text));
  }
  return Reference{
      .root = *std::move(root), .algorithm = std::nullopt, .leaves = {}};
}

}  // namespace

absl::StatusOr<Reference> LoadReference(const std::string& text) {
  std::error_code ignored;
  if (!std::filesystem::exists(text, ignored)) {
    return FromRoot(text);
  }
  ASSIGN_OR_RETURN(const Bytes content, ReadFile(text, kMaxMeasurementFile));
  const bool is_json = !content.empty() && content.front() == '{';
  ASSIGN_OR_RETURN_WITH(
      Reference reference,
      is_json ? FromMeasurement(AsText(content)) : FromEvidence(content), text);
  return reference;
}

}  // namespace vmattest::cli
