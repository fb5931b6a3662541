#include "disk/leaf_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vmattest::disk {
namespace {

constexpr size_t kMaxText = 1024;

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
         (c >= 'a' && c <= 'z');
}

void AppendHex(std::string& out, char c) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

}  // namespace

std::string EscapeLeafKey(std::string_view text) {
  constexpr std::string_view kPlain = "._-+/@=,:";
  std::string out;
  for (const char c : text) {
    if (IsAlphanumeric(c) || kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      AppendHex(out, c);
    }
  }
  return out;
}

std::string PrintableText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (out.size() > kMaxText) {
      return out + "...";
    }
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
    } else {
      AppendHex(out, c);
    }
  }
  return out;
}

std::string DigestText(HashAlgorithm algorithm, ByteView digest) {
  return fmt::format("{}:{}", ToString(algorithm), ToHex(digest));
}

void LeafList::Text(std::string path, std::string_view value) {
  Add(std::move(path), LeafType::kText, PrintableText(value));
}

void LeafList::Size(std::string path, uint64_t bytes) {
  Add(std::move(path), LeafType::kSize, std::to_string(bytes));
}

void LeafList::Digest(std::string path, HashAlgorithm algorithm,
                      ByteView digest) {
  Add(std::move(path), LeafType::kDigest, DigestText(algorithm, digest));
}

void LeafList::Unavailable(std::string path, std::string_view reason) {
  Add(std::move(path), LeafType::kUnavailable, PrintableText(reason));
}

void LeafList::Add(std::string path, LeafType type, std::string value) {
  if (leaves_.size() >= limit_) {
    cut_ = true;
    return;
  }
  const unsigned times = ++times_[path];
  if (times > 1) {
    path += fmt::format("#{}", times);
  }
  leaves_.push_back({std::move(path), type, std::move(value)});
}

std::vector<ConfigLeaf> LeafList::Take() && {
  if (cut_) {
    leaves_.push_back({"limit", LeafType::kUnavailable,
                       fmt::format("more than {} leaves", limit_)});
  }
  std::sort(leaves_.begin(), leaves_.end());
  return std::move(leaves_);
}

}  // namespace vmattest::disk
