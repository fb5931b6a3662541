#include "eventlog/strict_json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

namespace vmattest::eventlog {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 8;

// Sees a text once, before it is built: nlohmann::json keeps the last of two
// equal names and says nothing.
class ShapeChecker : public json::json_sax_t {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/,
                    const string_t& /*text*/) override {
    return true;
  }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(size_t /*elements*/) override {
    names_.emplace_back();
    return Deeper();
  }
  bool key(string_t& name) override {
    if (!names_.back().insert(name).second) {
      problem_ = fmt::format("the name '{}' is there twice", name);
      return false;
    }
    return true;
  }
  bool end_object() override {
    names_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(size_t /*elements*/) override { return Deeper(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    problem_ = fmt::format("not JSON at byte {}", position);
    return false;
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool Deeper() {
    if (++depth_ > kMaxDepth) {
      problem_ = fmt::format("nested deeper than {}", kMaxDepth);
      return false;
    }
    return true;
  }

  std::vector<std::set<std::string>> names_;
  int depth_ = 0;
  std::string problem_;
};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text) {
  ShapeChecker checker;
  if (!json::sax_parse(text.begin(), text.end(), &checker)) {
    return absl::InvalidArgumentError(checker.problem());
  }
  json parsed = json::parse(text.begin(), text.end(), nullptr, false);
  if (parsed.is_discarded()) {
    return absl::InvalidArgumentError("not JSON");
  }
  return parsed;
}

std::string CanonicalJson(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace);
}

void JsonCursor::SkipSpace() {
  while (offset_ < text_.size() && IsSpace(text_[offset_])) {
    ++offset_;
  }
}

bool JsonCursor::Consume(char token) {
  SkipSpace();
  if (offset_ == text_.size() || text_[offset_] != token) {
    return false;
  }
  ++offset_;
  return true;
}

bool JsonCursor::ConsumeString(std::string_view* value) {
  SkipSpace();
  if (offset_ == text_.size() || text_[offset_] != '"') {
    return false;
  }
  const size_t end = text_.find_first_of("\"\\", offset_ + 1);
  if (end == std::string_view::npos || text_[end] != '"') {
    return false;
  }
  *value = text_.substr(offset_ + 1, end - offset_ - 1);
  offset_ = end + 1;
  return true;
}

bool JsonCursor::ConsumeName(std::string_view name) {
  const size_t before = offset_;
  std::string_view found;
  if (ConsumeString(&found) && found == name && Consume(':')) {
    return true;
  }
  offset_ = before;
  return false;
}

bool JsonCursor::ConsumeObject(size_t limit, std::string_view* object) {
  SkipSpace();
  const std::string_view rest = text_.substr(offset_, limit);
  if (rest.empty() || rest.front() != '{') {
    return false;
  }
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      *object = rest.substr(0, i + 1);
      offset_ += i + 1;
      return true;
    }
  }
  return false;
}

bool JsonCursor::AtEnd() {
  SkipSpace();
  return offset_ == text_.size();
}

}  // namespace vmattest::eventlog
