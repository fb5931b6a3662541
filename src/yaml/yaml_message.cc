#include "yaml/yaml_message.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/bytes.h"
#include "base/file.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "yaml/yaml_document.h"
#include "yaml/yaml_scalar.h"

namespace vmattest::yaml {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Merger {
 public:
  Merger(std::string_view file, Origins* origins)
      : file_(file), origins_(origins) {}

  absl::Status Merge(const YamlNode& map, const std::string& prefix,
                     Message& message) {
    const Descriptor* type = message.GetDescriptor();
    std::map<std::string, std::string> chosen;  // oneof -> key
    for (const YamlNode::Entry& entry : map.entries) {
      const std::string key = prefix + entry.key;
      const FieldDescriptor* field = type->FindFieldByName(entry.key);
      if (field == nullptr) {
        return Error(entry.line, key, Unknown(*type));
      }
      if (const auto* oneof = field->real_containing_oneof()) {
        const auto [other, first] = chosen.emplace(oneof->name(), entry.key);
        if (!first) {
          return Error(entry.line, key,
                       fmt::format("excludes {}", other->second));
        }
      }
      RETURN_IF_ERROR(Set(entry, key, *field, message));
      Note(key, entry.line);
    }
    return absl::OkStatus();
  }

 private:
  static std::string Unknown(const Descriptor& type) {
    std::string known;
    for (int i = 0; i < type.field_count(); ++i) {
      known += (i == 0 ? "" : ", ") + type.field(i)->name();
    }
    return fmt::format("unknown key; known here: {}", known);
  }

  absl::Status Error(int line, const std::string& key,
                     std::string_view why) const {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}: {}", file_, line, key, why));
  }

  void Note(const std::string& key, int line) {
    if (origins_ != nullptr) {
      (*origins_)[key] = fmt::format("{}:{}", file_, line);
    }
  }

  absl::Status Set(const YamlNode::Entry& entry, const std::string& key,
                   const FieldDescriptor& field, Message& message) {
    const YamlNode& value = entry.value;
    if (value.kind == YamlNode::Kind::kNull) {
      return Error(entry.line, key, "has no value");
    }
    if (field.is_map()) {
      return SetMap(value, key, field, message);
    }
    if (field.is_repeated()) {
      return SetList(value, key, field, message);
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (value.kind != YamlNode::Kind::kMap) {
        return Error(value.line, key, "must be a map of keys");
      }
      return Merge(value, key + ".",
                   *message.GetReflection()->MutableMessage(&message, &field));
    }
    return SetValue(value, key, field, message);
  }

  absl::Status SetList(const YamlNode& value, const std::string& key,
                       const FieldDescriptor& field, Message& message) {
    if (value.kind != YamlNode::Kind::kSequence) {
      return Error(value.line, key, "must be a list");
    }
    const Reflection* reflection = message.GetReflection();
    reflection->ClearField(&message, &field);
    for (size_t i = 0; i < value.items.size(); ++i) {
      const YamlNode& item = value.items[i];
      const std::string item_key = fmt::format("{}[{}]", key, i);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        if (item.kind != YamlNode::Kind::kMap) {
          return Error(item.line, item_key, "must be a map of keys");
        }
        RETURN_IF_ERROR(Merge(item, item_key + ".",
                              *reflection->AddMessage(&message, &field)));
      } else {
        RETURN_IF_ERROR(SetValue(item, item_key, field, message));
      }
      Note(item_key, item.line);
    }
    return absl::OkStatus();
  }

  // A map field is a list of {key, value} messages.
  absl::Status SetMap(const YamlNode& value, const std::string& key,
                      const FieldDescriptor& field, Message& message) {
    if (value.kind != YamlNode::Kind::kMap) {
      return Error(value.line, key, "must be a map of keys");
    }
    const Reflection* reflection = message.GetReflection();
    reflection->ClearField(&message, &field);
    for (const YamlNode::Entry& entry : value.entries) {
      const std::string entry_key = key + "." + entry.key;
      Message* pair = reflection->AddMessage(&message, &field);
      YamlNode name;
      name.kind = YamlNode::Kind::kScalar;
      name.line = entry.line;
      name.scalar = entry.key;
      RETURN_IF_ERROR(
          SetValue(name, entry_key, *field.message_type()->map_key(), *pair));
      RETURN_IF_ERROR(
          Set(entry, entry_key, *field.message_type()->map_value(), *pair));
      Note(entry_key, entry.line);
    }
    return absl::OkStatus();
  }

  absl::Status SetValue(const YamlNode& value, const std::string& key,
                        const FieldDescriptor& field, Message& message) {
    if (value.kind != YamlNode::Kind::kScalar) {
      return Error(value.line, key, "must be a single value");
    }
    const absl::Status set =
        SetScalar(value.scalar, value.quoted, field, message);
    if (!set.ok()) {
      return Error(value.line, key, std::string(set.message()));
    }
    return absl::OkStatus();
  }

  const std::string file_;
  Origins* const origins_;
};

std::string Upper(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return upper;
}

// The message that holds `field` is made only when its variable is there.
absl::Status SetFromVariable(std::string_view parts, const std::string& key,
                             const std::string& value, Message& message,
                             std::string& full_key) {
  const Descriptor* type = message.GetDescriptor();
  const size_t end = parts.find("__");
  const std::string_view head = parts.substr(0, end);
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    if (field.is_repeated() || Upper(field.name()) != head) {
      continue;
    }
    const bool nested = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (nested != (end != std::string_view::npos)) {
      break;
    }
    full_key = key + field.name();
    if (!nested) {
      return SetScalar(value, /*quoted=*/false, field, message);
    }
    return SetFromVariable(
        parts.substr(end + 2), full_key + ".", value,
        *message.GetReflection()->MutableMessage(&message, &field), full_key);
  }
  return absl::InvalidArgumentError("names no single value");
}

void AppendMessage(const Message& message, const std::string& indent,
                   std::string& out);

void AppendField(const FieldDescriptor& field, const Message& message,
                 const std::string& indent, std::string& out) {
  const Reflection& reflection = *message.GetReflection();
  const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (!field.is_repeated()) {
    if (is_message) {
      out += fmt::format("{}{}:\n", indent, field.name());
      AppendMessage(reflection.GetMessage(message, &field), indent + "  ", out);
    } else {
      out += fmt::format("{}{}: {}\n", indent, field.name(),
                         ScalarText(field, message, -1));
    }
    return;
  }
  const int size = reflection.FieldSize(message, &field);
  if (size == 0) {
    out += fmt::format("{}{}: {}\n", indent, field.name(),
                       field.is_map() ? "{}" : "[]");
    return;
  }
  out += fmt::format("{}{}:\n", indent, field.name());
  for (int i = 0; i < size; ++i) {
    if (!is_message) {
      out += fmt::format("{}  - {}\n", indent, ScalarText(field, message, i));
      continue;
    }
    const Message& item = reflection.GetRepeatedMessage(message, &field, i);
    if (field.is_map()) {
      const FieldDescriptor& value = *field.message_type()->map_value();
      const std::string name =
          ScalarText(*field.message_type()->map_key(), item, -1);
      if (value.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        out += fmt::format("{}  {}:\n", indent, name);
        AppendMessage(item.GetReflection()->GetMessage(item, &value),
                      indent + "    ", out);
      } else {
        out += fmt::format("{}  {}: {}\n", indent, name,
                           ScalarText(value, item, -1));
      }
      continue;
    }
    std::string text;
    AppendMessage(item, indent + "    ", text);
    if (!text.empty()) {
      text[indent.size() + 2] = '-';
      out += text;
    } else {
      out += fmt::format("{}  - {{}}\n", indent);
    }
  }
}

void AppendMessage(const Message& message, const std::string& indent,
                   std::string& out) {
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.has_presence() &&
        !message.GetReflection()->HasField(message, &field)) {
      continue;
    }
    AppendField(field, message, indent, out);
  }
}

}  // namespace

absl::Status MergeYaml(std::string_view text, std::string_view file,
                       Message& message, Origins* origins) {
  ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, file));
  return Merger(file, origins).Merge(root, "", message);
}

absl::Status MergeYamlFile(const std::string& path, Message& message,
                           Origins* origins) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(path, kMaxYamlBytes));
  return MergeYaml(AsText(text), path, message, origins);
}

absl::Status MergeEnvironment(
    const std::map<std::string, std::string>& environment,
    std::string_view prefix, Message& message, Origins* origins) {
  for (auto it = environment.lower_bound(std::string(prefix));
       it != environment.end() &&
       it->first.compare(0, prefix.size(), prefix) == 0;
       ++it) {
    const std::string_view parts =
        std::string_view(it->first).substr(prefix.size());
    if (parts.find("__") == std::string_view::npos) {
      continue;
    }
    std::string key;
    const absl::Status set =
        SetFromVariable(parts, "", it->second, message, key);
    if (!set.ok()) {
      return absl::InvalidArgumentError(fmt::format(
          "environment:{}: {}", it->first, std::string(set.message())));
    }
    if (origins != nullptr) {
      (*origins)[key] = fmt::format("environment:{}", it->first);
    }
  }
  return absl::OkStatus();
}

std::string ToYaml(const Message& message) {
  std::string out;
  AppendMessage(message, "", out);
  return out;
}

}  // namespace vmattest::yaml
