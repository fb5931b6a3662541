#include "yaml/yaml_document.h"

#include <set>
#include <sstream>

#include "fmt/format.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace vmattest::yaml {
namespace {

// Leaves yaml-cpp's parser, which knows no other way out; caught in ParseYaml.
struct Refused {
  int line;
  std::string why;
};

// Builds the tree from events, so that limits hold before anything is built.
class TreeBuilder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Refused{Line(mark), "a second document"};
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(mark, anchor, "", YamlNode::Kind::kNull);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{Line(mark), "aliases are not supported"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    if (IsKey()) {
      NewKey(mark, anchor, value);
      return;
    }
    YamlNode& node = Add(mark, anchor, tag, YamlNode::Kind::kScalar);
    node.scalar = value;
    node.quoted = tag == "!";
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(&Add(mark, anchor, tag, YamlNode::Kind::kSequence), mark);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Open(&Add(mark, anchor, tag, YamlNode::Kind::kMap), mark);
  }
  void OnMapEnd() override { open_.pop_back(); }

  YamlNode Take() { return std::move(root_); }

 private:
  struct Level {
    YamlNode* node;
    bool has_key = false;
    std::set<std::string> keys = {};
  };

  static int Line(const YAML::Mark& mark) { return mark.line + 1; }

  [[nodiscard]] bool IsKey() const {
    return !open_.empty() && open_.back().node->kind == YamlNode::Kind::kMap &&
           !open_.back().has_key;
  }

  void Count(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      throw Refused{Line(mark), "anchors are not supported"};
    }
    if (++nodes_ > kMaxYamlNodes) {
      throw Refused{Line(mark),
                    fmt::format("more than {} values", kMaxYamlNodes)};
    }
  }

  void NewKey(const YAML::Mark& mark, YAML::anchor_t anchor,
              const std::string& key) {
    Count(mark, anchor);
    Level& level = open_.back();
    if (!level.keys.insert(key).second) {
      throw Refused{Line(mark), fmt::format("{}: comes twice", key)};
    }
    level.node->entries.push_back({key, Line(mark), {}});
    level.has_key = true;
  }

  YamlNode& Add(const YAML::Mark& mark, YAML::anchor_t anchor,
                const std::string& tag, YamlNode::Kind kind) {
    Count(mark, anchor);
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{Line(mark), fmt::format("tag {} is not supported", tag)};
    }
    if (IsKey()) {
      throw Refused{Line(mark), "a key must be a plain word"};
    }
    YamlNode* node = &root_;
    if (!open_.empty()) {
      Level& level = open_.back();
      if (level.node->kind == YamlNode::Kind::kMap) {
        node = &level.node->entries.back().value;
        level.has_key = false;
      } else {
        node = &level.node->items.emplace_back();
      }
    }
    node->kind = kind;
    node->line = Line(mark);
    return *node;
  }

  // Parents stay where they are while a child is open: only the innermost
  // vector grows, and its elements are not open then.
  void Open(YamlNode* node, const YAML::Mark& mark) {
    if (open_.size() >= kMaxYamlDepth) {
      throw Refused{Line(mark),
                    fmt::format("nested deeper than {}", kMaxYamlDepth)};
    }
    open_.push_back({node});
  }

  YamlNode root_;
  std::vector<Level> open_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(std::string_view text,
                                   std::string_view file) {
  if (text.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: larger than {} bytes", file, kMaxYamlBytes));
  }
  if (text.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: holds a NUL byte", file));
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    YamlNode root = builder.Take();
    if (root.kind == YamlNode::Kind::kNull) {
      root.kind = YamlNode::Kind::kMap;
    }
    if (root.kind != YamlNode::Kind::kMap) {
      return absl::InvalidArgumentError(
          fmt::format("{}:{}: must be a map of keys", file, root.line));
    }
    return root;
  } catch (const Refused& refused) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", file, refused.line, refused.why));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", file, error.mark.line + 1, error.msg));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: {}", file, error.what()));
  }
}

}  // namespace vmattest::yaml
