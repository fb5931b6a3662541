#include "yaml/yaml_scalar.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include "base/bytes.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"

namespace vmattest::yaml {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status Expected(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("must be {}, not '{}'", what, text.substr(0, 80)));
}

template <class Integer>
absl::StatusOr<Integer> ParseInteger(std::string_view text, bool quoted) {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x")) {
    digits.remove_prefix(2);
    base = 16;
  }
  Integer value = 0;
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value, base);
  const bool sign_in_hex = base == 16 && digits.starts_with("-");
  if (quoted || digits.empty() || sign_in_hex || rest != end ||
      error != std::errc()) {
    return Expected(fmt::format("an integer from {} to {}",
                                std::numeric_limits<Integer>::min(),
                                std::numeric_limits<Integer>::max()),
                    text);
  }
  return value;
}

absl::StatusOr<double> ParseDouble(std::string_view text, bool quoted) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (quoted || text.empty() || rest != end || error != std::errc()) {
    return Expected("a number", text);
  }
  return value;
}

// "CONTENT_POLICY_FULL" -> "full".
std::string ShortName(const EnumValueDescriptor& value) {
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (std::isupper(static_cast<unsigned char>(c)) && !prefix.empty()) {
      prefix += '_';
    }
    prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  prefix += '_';
  std::string name = value.name();
  if (name.rfind(prefix, 0) == 0) {
    name.erase(0, prefix.size());
  }
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return name;
}

absl::StatusOr<const EnumValueDescriptor*> ParseEnum(
    std::string_view text, const FieldDescriptor& field) {
  std::string known;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const EnumValueDescriptor* value = field.enum_type()->value(i);
    if (text == ShortName(*value) || text == value->name()) {
      return value;
    }
    known += (i == 0 ? "" : ", ") + ShortName(*value);
  }
  return Expected(fmt::format("one of {}", known), text);
}

template <class Value, class SetFn, class AddFn>
absl::Status Store(const absl::StatusOr<Value>& value,
                   const FieldDescriptor& field, Message& message, SetFn set,
                   AddFn add) {
  RETURN_IF_ERROR(value.status());
  const auto* reflection = message.GetReflection();
  if (field.is_repeated()) {
    (reflection->*add)(&message, &field, *value);
  } else {
    (reflection->*set)(&message, &field, *value);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ParseBool(std::string_view text, bool quoted) {
  if (quoted || (text != "true" && text != "false")) {
    return Expected("true or false", text);
  }
  return text == "true";
}

absl::StatusOr<std::string> ParseString(std::string_view text,
                                        const FieldDescriptor& field) {
  if (field.type() != FieldDescriptor::TYPE_BYTES) {
    return std::string(text);
  }
  const absl::StatusOr<Bytes> bytes = ParseHex(text);
  if (!bytes.ok()) {
    return Expected("hexadecimal", text);
  }
  return std::string(AsText(*bytes));
}

// Double-quoted, so that nothing in it means anything to YAML.
std::string QuoteYaml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

absl::Status SetScalar(std::string_view text, bool quoted,
                       const FieldDescriptor& field, Message& message) {
  using R = google::protobuf::Reflection;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Store(ParseInteger<int32_t>(text, quoted), field, message,
                   &R::SetInt32, &R::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return Store(ParseInteger<int64_t>(text, quoted), field, message,
                   &R::SetInt64, &R::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Store(ParseInteger<uint32_t>(text, quoted), field, message,
                   &R::SetUInt32, &R::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Store(ParseInteger<uint64_t>(text, quoted), field, message,
                   &R::SetUInt64, &R::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Store(ParseDouble(text, quoted), field, message, &R::SetDouble,
                   &R::AddDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Store(ParseDouble(text, quoted), field, message, &R::SetFloat,
                   &R::AddFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return Store(ParseBool(text, quoted), field, message, &R::SetBool,
                   &R::AddBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return Store(ParseEnum(text, field), field, message, &R::SetEnum,
                   &R::AddEnum);
    case FieldDescriptor::CPPTYPE_STRING: {
      ASSIGN_OR_RETURN(std::string value, ParseString(text, field));
      if (field.is_repeated()) {
        message.GetReflection()->AddString(&message, &field, std::move(value));
      } else {
        message.GetReflection()->SetString(&message, &field, std::move(value));
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return absl::InvalidArgumentError("must be a map of keys");
}

std::string ScalarText(const FieldDescriptor& field, const Message& message,
                       int index) {
  const auto& r = *message.GetReflection();
  const auto* f = &field;
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(one ? r.GetInt32(message, f)
                                : r.GetRepeatedInt32(message, f, index));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(one ? r.GetInt64(message, f)
                                : r.GetRepeatedInt64(message, f, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(one ? r.GetUInt32(message, f)
                                : r.GetRepeatedUInt32(message, f, index));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(one ? r.GetUInt64(message, f)
                                : r.GetRepeatedUInt64(message, f, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return fmt::format("{}", one ? r.GetDouble(message, f)
                                   : r.GetRepeatedDouble(message, f, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return fmt::format("{}", one ? r.GetFloat(message, f)
                                   : r.GetRepeatedFloat(message, f, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (one ? r.GetBool(message, f)
                  : r.GetRepeatedBool(message, f, index))
                 ? "true"
                 : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return ShortName(*(one ? r.GetEnum(message, f)
                             : r.GetRepeatedEnum(message, f, index)));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = one ? r.GetString(message, f)
                                   : r.GetRepeatedString(message, f, index);
      return field.type() == FieldDescriptor::TYPE_BYTES
                 ? QuoteYaml(ToHex(AsBytes(text)))
                 : QuoteYaml(text);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

}  // namespace vmattest::yaml
