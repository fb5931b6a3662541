#include "measurement/secrets.h"

#include <algorithm>
#include <cctype>

namespace vmattest::measurement {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return lower;
}

// References to a secret by id ("key-secret", "password-secret") are none.
bool NamesSecret(std::string_view name) {
  const std::string lower = Lower(name);
  if (lower.ends_with("secret")) {
    return false;
  }
  for (const std::string_view word :
       {"passw", "passphrase", "authkey", "token"}) {
    if (lower.find(word) != std::string::npos) {
      return true;
    }
  }
  return false;
}

bool IsQemuNamespace(const XmlElement& element) {
  return element.ns == "http://libvirt.org/schemas/domain/qemu/1.0";
}

// "data=" holds the value of a `secret` object and of nothing else secret.
bool IsSecretOption(std::string_view option, bool in_secret_object) {
  const std::string_view name = option.substr(0, option.find('='));
  return option.find('=') != std::string_view::npos &&
         (NamesSecret(name) || (in_secret_object && name == "data"));
}

}  // namespace

bool IsSecretAttribute(const XmlElement& element,
                       const XmlAttribute& attribute) {
  if (IsQemuNamespace(element) && element.name == "env") {
    const bool is_value = attribute.name == "value" && attribute.ns.empty();
    return is_value && NamesSecret(element.Get("name"));
  }
  return NamesSecret(attribute.name);
}

bool IsQemuArgument(const XmlElement& element, const XmlAttribute& attribute) {
  return IsQemuNamespace(element) && element.name == "arg" &&
         attribute.name == "value" && attribute.ns.empty();
}

bool IsSecretText(const XmlElement& element) {
  return element.name == "secret" || element.name == "cookie" ||
         NamesSecret(element.name);
}

RedactedArgument RedactArgument(std::string_view argument) {
  const std::string lower = Lower(argument);
  const bool json = lower.find('{') != std::string::npos;
  const bool in_secret_object =
      lower.starts_with("secret,") ||
      lower.find("qom-type=secret") != std::string::npos;
  if (json) {
    const bool suspicious = lower.find("passw") != std::string::npos ||
                            lower.find("passphrase") != std::string::npos ||
                            lower.find("\"secret\"") != std::string::npos;
    return suspicious ? RedactedArgument{"", true}
                      : RedactedArgument{std::string(argument), false};
  }
  RedactedArgument result;
  for (size_t begin = 0; begin <= argument.size();) {
    size_t end = argument.find(',', begin);
    // QEMU writes a comma inside a value as two.
    while (end != std::string_view::npos && end + 1 < argument.size() &&
           argument[end + 1] == ',') {
      end = argument.find(',', end + 2);
    }
    end = std::min(end, argument.size());
    const std::string_view option = argument.substr(begin, end - begin);
    if (IsSecretOption(option, in_secret_object)) {
      result.text += option.substr(0, option.find('=') + 1);
      result.redacted = true;
    } else {
      result.text += option;
    }
    if (end < argument.size()) {
      result.text += ',';
    }
    begin = end + 1;
  }
  return result;
}

}  // namespace vmattest::measurement
