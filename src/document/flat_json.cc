#include "document/flat_json.h"

#include <fmt/format.h>

#include <cstring>

#include "nlohmann/json.hpp"

namespace vmattest::document {
namespace {

using nlohmann::json;

class Collector final : public json::json_sax_t {
 public:
  bool null() override { return Refuse("a value that is no text"); }
  bool boolean(bool /*value*/) override { return null(); }
  bool number_integer(number_integer_t /*value*/) override { return null(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return null(); }
  bool number_float(number_float_t /*value*/,
                    const string_t& /*text*/) override {
    return null();
  }
  bool binary(binary_t& /*value*/) override { return null(); }
  bool start_array(size_t /*elements*/) override { return null(); }
  bool end_array() override { return null(); }
  bool start_object(size_t /*elements*/) override {
    return ++depth_ == 1 || null();
  }
  bool end_object() override { return true; }
  bool key(string_t& name) override {
    name_ = name;
    return !members_.contains(name) ||
           Refuse(fmt::format("the name '{}' is there twice", name));
  }
  bool string(string_t& value) override {
    if (depth_ != 1) {
      return Refuse("not an object");
    }
    members_.emplace(name_, SecretBytes(ToBytes(value)));
    explicit_bzero(value.data(), value.size());
    return true;
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return Refuse(fmt::format("not JSON at byte {}", position));
  }

  FlatJson members_;
  std::string problem_;

 private:
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  int depth_ = 0;
  std::string name_;
};

}  // namespace

absl::StatusOr<FlatJson> ParseFlatJson(ByteView text) {
  if (text.size() > kMaxKeyFileSize) {
    return absl::InvalidArgumentError(
        fmt::format("larger than {} bytes", kMaxKeyFileSize));
  }
  Collector collector;
  if (!json::sax_parse(text.begin(), text.end(), &collector)) {
    return absl::InvalidArgumentError(collector.problem_);
  }
  return std::move(collector.members_);
}

std::string JsonString(std::string_view text) {
  return json(std::string(text))
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace vmattest::document
