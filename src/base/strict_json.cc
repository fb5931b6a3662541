#include "base/strict_json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

namespace vmattest {
namespace {

using nlohmann::json;

// Sees a text once, before it is built: nlohmann::json keeps the last of two
// equal names and says nothing.
class ShapeChecker : public json::json_sax_t {
 public:
  explicit ShapeChecker(int max_depth) : max_depth_(max_depth) {}
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
    if (++depth_ > max_depth_) {
      problem_ = fmt::format("nested deeper than {}", max_depth_);
      return false;
    }
    return true;
  }

  int max_depth_;
  int depth_ = 0;
  std::vector<std::set<std::string>> names_;
  std::string problem_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, int max_depth) {
  ShapeChecker checker(max_depth);
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

}  // namespace vmattest
