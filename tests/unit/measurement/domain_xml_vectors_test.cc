// Properties over libvirt's own domain XML files. The files are read and
// changed with libxml2's tree, which the product does not use.

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "base/handles.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "measurement/normalise.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::Slurp;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Every file is changed in every place; under sanitizers every twelfth file.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kEvery = 12;
#elif defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int kEvery = 12;
#else
constexpr int kEvery = 1;
#endif
#else
constexpr int kEvery = 1;
#endif

using DocumentHandle = std::unique_ptr<xmlDoc, Closer<xmlFreeDoc>>;

std::string_view View(const xmlChar* text) {
  return text == nullptr
             ? std::string_view()
             : std::string_view(reinterpret_cast<const char*>(text));
}
const xmlChar* Xml(const std::string& text) {
  return reinterpret_cast<const xmlChar*>(text.c_str());
}

DocumentHandle Load(const std::string& xml) {
  return DocumentHandle(xmlReadMemory(xml.data(), static_cast<int>(xml.size()),
                                      "test.xml", nullptr, XML_PARSE_NONET));
}

std::string Dump(const DocumentHandle& document) {
  xmlChar* text = nullptr;
  int size = 0;
  xmlDocDumpMemory(document.get(), &text, &size);
  std::string xml(reinterpret_cast<const char*>(text),
                  static_cast<size_t>(size));
  xmlFree(text);
  return xml;
}

std::string Content(xmlNode* node) {
  xmlChar* text = xmlNodeGetContent(node);
  std::string content(View(text));
  xmlFree(text);
  return content;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

void ForEachNode(xmlNode* node, const std::function<void(xmlNode*)>& visit) {
  for (xmlNode* next = nullptr; node != nullptr; node = next) {
    next = node->next;
    visit(node);
    if (node->type == XML_ELEMENT_NODE) {
      ForEachNode(node->children, visit);
    }
  }
}

// "devices/disk/source"
std::string PathOf(const xmlNode* node) {
  std::string path;
  for (; node != nullptr && node->type == XML_ELEMENT_NODE &&
         node->parent->type == XML_ELEMENT_NODE;
       node = node->parent) {
    path = std::string(View(node->name)) + (path.empty() ? "" : "/") + path;
  }
  return path;
}

std::string AttributeOf(xmlNode* element, const char* name) {
  xmlChar* value = xmlGetProp(element, Xml(name));
  std::string text(View(value));
  xmlFree(value);
  return text;
}

// Still a number if it was one, so that typed leaves are tried as numbers.
std::string Changed(const std::string& value) {
  const bool number = !value.empty() && value.find_first_not_of("0123456789") ==
                                            std::string::npos;
  return value + (number ? "1" : "~");
}

struct Row {
  std::string input;
  std::string result;
  std::string rng_valid;
  std::string normalised;
};

std::vector<Row> Rows(const std::filesystem::path& vectors) {
  std::istringstream table(Slurp(vectors / "qemu" / "expected.tsv"));
  std::vector<Row> rows;
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::vector<std::string> fields;
    std::istringstream split(line);
    for (std::string field; std::getline(split, field, '\t');) {
      fields.push_back(field);
    }
    EXPECT_GE(fields.size(), 6U) << line;
    rows.push_back({fields[0], fields[3], fields[4], fields[5]});
  }
  return rows;
}

// Every distinct well-formed input, by its path.
std::map<std::string, std::string> Inputs(
    const std::filesystem::path& vectors) {
  std::map<std::string, std::string> inputs;
  for (const Row& row : Rows(vectors)) {
    if (row.rng_valid != "not-wellformed" && inputs.count(row.input) == 0) {
      inputs[row.input] = Slurp(vectors / row.input);
    }
  }
  return inputs;
}

TEST(DomainXmlVectors, ValidDomainsMeasureAndGiveTheSameRootTwice) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  int valid = 0;
  for (const Row& row : Rows(vectors)) {
    if (row.result != "ok" || row.rng_valid != "yes") {
      continue;
    }
    const std::string xml = Slurp(vectors / row.input);
    const auto measured = MeasureText(xml);
    ASSERT_THAT(measured, IsOk()) << row.input;
    EXPECT_EQ(ToHex(measured->tree.root), RootOf(xml)) << row.input;
    EXPECT_FALSE(measured->name.empty()) << row.input;
    ++valid;
  }
  EXPECT_GT(valid, 600);
}

TEST(DomainXmlVectors, NormalisedOutputsMeasure) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  for (const Row& row : Rows(vectors)) {
    if (row.normalised != "-" && row.normalised != "identical-to-input") {
      EXPECT_THAT(MeasureText(Slurp(vectors / row.normalised)), IsOk())
          << row.normalised;
    }
  }
}

TEST(DomainXmlVectors, MalformedIsRefusedAndTheRestIsMeasuredNotJudged) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  int refused = 0;
  for (const Row& row : Rows(vectors)) {
    const auto measured = MeasureText(Slurp(vectors / row.input));
    if (row.rng_valid == "not-wellformed") {
      EXPECT_THAT(measured, StatusIs(kInvalid, HasSubstr("line")));
      ++refused;
    } else {
      EXPECT_THAT(measured, IsOk()) << row.input;
    }
  }
  EXPECT_GE(refused, 1);
}

TEST(DomainXmlVectors, OtherKindsOfXmlAreRefused) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  int others = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(vectors / "other")) {
    if (entry.path().extension() != ".xml") {
      continue;
    }
    const std::string xml = Slurp(entry.path());
    const DocumentHandle document = Load(xml);
    ASSERT_NE(document, nullptr) << entry.path();
    if (View(xmlDocGetRootElement(document.get())->name) == "domain") {
      EXPECT_THAT(MeasureText(xml), IsOk()) << entry.path();
    } else {
      EXPECT_THAT(MeasureText(xml),
                  StatusIs(kInvalid, HasSubstr("not <domain>")))
          << entry.path();
      ++others;
    }
  }
  EXPECT_GT(others, 20);
}

// Writes a document in other words: attributes reversed, other indentation,
// comments, processing instructions, character references.
void WriteOtherwise(xmlNode* node, int depth, std::string& out) {
  if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) {
    const std::string text(View(node->content));
    if (IsBlank(text)) {
      out += "\n<!-- c -->" + std::string(static_cast<size_t>(depth), '\t');
      return;
    }
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      out += byte < 0x80 ? fmt::format("&#{};", byte) : std::string(1, c);
    }
    return;
  }
  if (node->type != XML_ELEMENT_NODE) {
    return;
  }
  const auto name = [](const xmlNs* ns, const xmlChar* local) {
    const bool prefixed = ns != nullptr && ns->prefix != nullptr;
    return (prefixed ? std::string(View(ns->prefix)) + ":" : "") +
           std::string(View(local));
  };
  std::string attributes;
  for (xmlAttr* a = node->properties; a != nullptr; a = a->next) {
    xmlChar* value = xmlEncodeSpecialChars(
        node->doc, Xml(Content(reinterpret_cast<xmlNode*>(a))));
    attributes = fmt::format("  {}=\"{}\"", name(a->ns, a->name), View(value)) +
                 attributes;
    xmlFree(value);
  }
  for (xmlNs* ns = node->nsDef; ns != nullptr; ns = ns->next) {
    attributes +=
        ns->prefix == nullptr
            ? fmt::format(" xmlns=\"{}\"", View(ns->href))
            : fmt::format(" xmlns:{}=\"{}\"", View(ns->prefix), View(ns->href));
  }
  out += "<" + name(node->ns, node->name) + attributes + "\n><?pi x?>";
  for (xmlNode* child = node->children; child != nullptr; child = child->next) {
    WriteOtherwise(child, depth + 1, out);
  }
  out += "<!-- end --></" + name(node->ns, node->name) + " >";
}

TEST(DomainXmlVectors, AttributeOrderIndentationAndCommentsDoNotMatter) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  for (const auto& [path, xml] : Inputs(vectors)) {
    const DocumentHandle document = Load(xml);
    std::string otherwise;
    WriteOtherwise(xmlDocGetRootElement(document.get()), 0, otherwise);
    EXPECT_EQ(RootOf(otherwise), RootOf(xml)) << path;
  }
}

// The documented volatile parts, as paths of elements and attributes. Where
// only some values are volatile, the second part says which.
bool IsVolatile(xmlNode* element, std::string_view attribute) {
  const std::string path = PathOf(element);
  const std::string name(View(element->name));
  xmlNode* parent = element->parent;
  const auto is = [&](std::string_view at, std::string_view what) {
    return path == at && attribute == what;
  };
  if (is("", "id") || is("devices/channel/target", "state")) {
    return true;
  }
  if (name == "alias") {
    return AttributeOf(element, "name").rfind("ua-", 0) != 0;
  }
  if (name == "seclabel" && path == "seclabel") {
    return AttributeOf(element, "type") == "dynamic";
  }
  if (path == "seclabel/label" || path == "seclabel/imagelabel") {
    return AttributeOf(parent, "type") == "dynamic";
  }
  if (path == "resource/partition" || path == "resource") {
    return Content(element).find("/machine") != std::string::npos;
  }
  if (path == "devices/graphics" && attribute.find("ort") != attribute.npos) {
    return AttributeOf(element, "autoport") == "yes";
  }
  if (is("devices/interface/source", "portid") ||
      is("devices/interface/source", "bridge")) {
    return AttributeOf(parent, "type") == "network";
  }
  if (is("devices/interface/target", "dev") ||
      (path == "devices/interface/target" && attribute.empty())) {
    const std::string dev = AttributeOf(element, "dev");
    return dev.rfind("vnet", 0) == 0 || dev.rfind("macv", 0) == 0;
  }
  if (is("devices/console/target", "port")) {
    return AttributeOf(element, "type") == "virtio";
  }
  if (path.rfind("devices/disk", 0) == 0 && attribute == "index") {
    return true;
  }
  if (is("devices/console", "tty") || path == "devices/console/source" ||
      path == "devices/serial/source" || path == "devices/channel/source") {
    return AttributeOf(element, "path").rfind("/dev/pts/", 0) == 0 ||
           attribute == "tty" ||
           AttributeOf(element, "path").find("/libvirt/qemu/channel/") !=
               std::string::npos ||
           (path == "devices/channel/source" && attribute.empty() &&
            AttributeOf(element, "path").empty());
  }
  if (path == "devices/memory/target/current") {
    return true;
  }
  return (path == "devices/graphics" || path == "devices/graphics/listen") &&
         attribute == "socket" &&
         AttributeOf(element, "socket").find("/libvirt/qemu/domain-") !=
             std::string::npos;
}

// Presence only (rule S17): a changed value changes nothing.
bool IsSecret(xmlNode* element, std::string_view attribute) {
  const std::string_view name = View(element->name);
  return (name == "graphics" && attribute.substr(0, 6) == "passwd") ||
         (attribute.empty() && (name == "secret" || name == "cookie"));
}

struct Tally {
  int files = 0;
  int changes = 0;
  int unchanged = 0;
};

TEST(DomainXmlVectors, AnyChangedAttributeOrTextChangesTheRoot) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  Tally tally;
  int number = 0;
  for (const auto& input : Inputs(vectors)) {
    if (number++ % kEvery != 0) {
      continue;
    }
    const std::string& path = input.first;
    const std::string& xml = input.second;
    ++tally.files;
    const std::string root = RootOf(xml);
    const DocumentHandle document = Load(xml);
    const auto check = [&](xmlNode* element, std::string_view attribute) {
      ++tally.changes;
      const std::string changed = RootOf(Dump(document));
      ASSERT_EQ(changed.size(), root.size()) << path << ": " << changed;
      if (changed == root) {
        ++tally.unchanged;
        EXPECT_TRUE(IsVolatile(element, attribute) ||
                    IsSecret(element, attribute))
            << path << ": " << PathOf(element) << "@" << attribute;
      }
    };
    ForEachNode(xmlDocGetRootElement(document.get()), [&](xmlNode* node) {
      if (node->type == XML_ELEMENT_NODE) {
        for (xmlAttr* a = node->properties; a != nullptr; a = a->next) {
          const std::string value = Content(reinterpret_cast<xmlNode*>(a));
          xmlSetNsProp(node, a->ns, a->name, Xml(Changed(value)));
          check(node, View(a->name));
          xmlSetNsProp(node, a->ns, a->name, Xml(value));
        }
      } else if (node->type == XML_TEXT_NODE && !IsBlank(View(node->content))) {
        const std::string value(View(node->content));
        xmlNodeSetContent(node, nullptr);
        xmlNodeAddContent(node, Xml(Changed(value)));
        check(node->parent, "");
        xmlNodeSetContent(node, nullptr);
        xmlNodeAddContent(node, Xml(value));
      }
    });
    ASSERT_EQ(RootOf(Dump(document)), root) << "the test left a change behind";
  }
  RecordProperty("changes", tally.changes);
  EXPECT_GE(tally.files, 700 / kEvery);
  EXPECT_GT(tally.changes, 27'000 / kEvery);
  EXPECT_LT(tally.unchanged, tally.changes / 50);
}

TEST(DomainXmlVectors, RemovingAnyElementChangesTheRoot) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  int removed = 0;
  int number = 0;
  for (const auto& input : Inputs(vectors)) {
    if (number++ % kEvery != 0) {
      continue;
    }
    const std::string& path = input.first;
    const std::string& xml = input.second;
    const std::string root = RootOf(xml);
    const DocumentHandle document = Load(xml);
    std::vector<xmlNode*> elements;
    ForEachNode(xmlDocGetRootElement(document.get())->children,
                [&](xmlNode* node) {
                  if (node->type == XML_ELEMENT_NODE) {
                    elements.push_back(node);
                  }
                });
    for (xmlNode* element : elements) {
      xmlNode* parent = element->parent;
      xmlNode* next = element->next;
      const bool expected = IsVolatile(element, "");
      const std::string where = PathOf(element);
      xmlUnlinkNode(element);
      EXPECT_TRUE(RootOf(Dump(document)) != root || expected)
          << path << ": " << where;
      ++removed;
      next != nullptr ? xmlAddPrevSibling(next, element)
                      : xmlAddChild(parent, element);
    }
  }
  EXPECT_GT(removed, 15'000 / kEvery);
}

// The order of elements of different names means nothing.
XmlElement WithNamesSorted(XmlElement element) {
  std::stable_sort(element.children.begin(), element.children.end(),
                   [](const XmlElement& a, const XmlElement& b) {
                     return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
                   });
  for (XmlElement& child : element.children) {
    child = WithNamesSorted(std::move(child));
  }
  return element;
}

TEST(DomainXmlVectors, DistinctMeaningsHaveDistinctRoots) {
  VMATTEST_REQUIRE_VECTORS(vectors, "libvirt-domain-xml");
  std::map<std::string, std::string> meaning_of_root;
  std::set<std::string> meanings;
  for (const char* folder : {"qemu/in", "qemu/out"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(vectors / folder)) {
      const std::string xml = Slurp(entry.path());
      auto domain = ParseXml(xml);
      if (!domain.ok()) {
        continue;
      }
      Normalise(*domain);
      const std::string meaning = WriteXml(WithNamesSorted(*domain));
      meanings.insert(meaning);
      const auto [known, added] =
          meaning_of_root.try_emplace(RootOf(xml), meaning);
      if (!added && known->second != meaning) {
        // Same meaning in other units: nothing but numbers may differ.
        const auto letters = [](std::string text) {
          std::erase_if(text, [](unsigned char c) {
            return std::isdigit(c) != 0 || c == 'K' || c == 'M' || c == 'i' ||
                   c == 'B';
          });
          return text;
        };
        EXPECT_EQ(letters(known->second), letters(meaning)) << entry.path();
      }
    }
  }
  EXPECT_GT(meaning_of_root.size(), 1'000U);
}

}  // namespace
}  // namespace vmattest::measurement
