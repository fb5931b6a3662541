#include <fmt/format.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include <algorithm>
#include <memory>
#include <tuple>

#include "base/handles.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {
namespace {

using ParserHandle = std::unique_ptr<xmlParserCtxt, Closer<xmlFreeParserCtxt>>;

std::string_view View(const xmlChar* text) {
  return text == nullptr
             ? std::string_view()
             : std::string_view(reinterpret_cast<const char*>(text));
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Receives libxml2's events and stacks up the elements that are open.
class TreeBuilder {
 public:
  explicit TreeBuilder(xmlParserCtxt* parser) : parser_(parser) {
    open_.emplace_back();
  }

  static xmlSAXHandler Handler() {
    xmlSAXHandler handler{};
    handler.initialized = XML_SAX2_MAGIC;
    handler.internalSubset = OnDoctype;
    handler.startElementNs = OnStart;
    handler.endElementNs = OnEnd;
    handler.characters = OnText;
    handler.cdataBlock = OnText;
    handler.ignorableWhitespace = OnText;
    handler.serror = OnError;
    return handler;
  }

  absl::StatusOr<XmlElement> Finish(bool parsed) {
    if (!failure_.empty()) {
      return absl::InvalidArgumentError(failure_);
    }
    if (!parsed || open_.size() != 1 || open_.front().children.size() != 1) {
      return absl::InvalidArgumentError("line 1: not well-formed XML");
    }
    return std::move(open_.front().children.front());
  }

 private:
  [[nodiscard]] int Line() const {
    return parser_->input == nullptr ? 1 : parser_->input->line;
  }

  void Refuse(std::string why) {
    if (failure_.empty()) {
      failure_ = fmt::format("line {}: {}", Line(), why);
    }
    xmlStopParser(parser_);
  }

  void Start(XmlElement element) {
    if (!failure_.empty()) {
      return;
    }
    if (++count_ > kMaxXmlElements) {
      return Refuse(fmt::format("more than {} elements", kMaxXmlElements));
    }
    if (open_.size() > static_cast<size_t>(kMaxXmlDepth)) {
      return Refuse(fmt::format("nested deeper than {}", kMaxXmlDepth));
    }
    if (element.name.size() > kMaxXmlNameSize ||
        element.ns.size() > kMaxXmlNameSize) {
      return Refuse(fmt::format("name or namespace longer than {} bytes",
                                kMaxXmlNameSize));
    }
    for (const XmlAttribute& attribute : element.attributes) {
      if (attribute.name.size() > kMaxXmlNameSize ||
          attribute.ns.size() > kMaxXmlNameSize) {
        return Refuse(fmt::format("name or namespace longer than {} bytes",
                                  kMaxXmlNameSize));
      }
    }
    element.line = Line();
    open_.push_back(std::move(element));
  }

  void End() {
    if (!failure_.empty() || open_.size() < 2) {
      return;
    }
    XmlElement element = std::move(open_.back());
    open_.pop_back();
    std::erase_if(element.texts,
                  [](const XmlText& run) { return IsBlank(run.text); });
    open_.back().children.push_back(std::move(element));
  }

  void Text(std::string_view text) {
    if (!failure_.empty() || open_.size() < 2) {
      return;
    }
    XmlElement& element = open_.back();
    if (element.texts.empty() ||
        element.texts.back().before_child != element.children.size()) {
      element.texts.push_back({element.children.size(), std::string(text)});
    } else {
      element.texts.back().text += text;
    }
  }

  static TreeBuilder& From(void* self) {
    return *static_cast<TreeBuilder*>(self);
  }

  static std::string Name(const xmlChar* name, const xmlChar* prefix,
                          const xmlChar* uri) {
    if (prefix != nullptr && uri == nullptr) {
      return fmt::format("{}:{}", View(prefix), View(name));
    }
    return std::string(View(name));
  }

  static void OnStart(void* self, const xmlChar* name, const xmlChar* prefix,
                      const xmlChar* uri, int /*nb_namespaces*/,
                      const xmlChar** /*namespaces*/, int nb_attributes,
                      int /*nb_defaulted*/, const xmlChar** attributes) {
    XmlElement element;
    element.ns = View(uri);
    element.name = Name(name, prefix, uri);
    element.attributes.reserve(static_cast<size_t>(nb_attributes));
    for (int i = 0; i < nb_attributes; ++i) {
      // local name, prefix, URI, begin and end of the value
      const xmlChar** a = attributes + static_cast<ptrdiff_t>(i) * 5;
      element.attributes.push_back(
          {std::string(View(a[2])), Name(a[0], a[1], a[2]),
           std::string(reinterpret_cast<const char*>(a[3]),
                       static_cast<size_t>(a[4] - a[3]))});
    }
    std::sort(element.attributes.begin(), element.attributes.end(),
              [](const XmlAttribute& a, const XmlAttribute& b) {
                return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
              });
    From(self).Start(std::move(element));
  }

  static void OnEnd(void* self, const xmlChar*, const xmlChar*,
                    const xmlChar*) {
    From(self).End();
  }

  static void OnText(void* self, const xmlChar* text, int size) {
    From(self).Text(
        {reinterpret_cast<const char*>(text), static_cast<size_t>(size)});
  }

  static void OnDoctype(void* self, const xmlChar*, const xmlChar*,
                        const xmlChar*) {
    From(self).Refuse("document types are refused");
  }

  // An undeclared prefix is an error to libxml2, but not of well-formedness.
  template <class Error>
  static void OnError(void* self, Error* error) {
    TreeBuilder& builder = From(self);
    if (error->level != XML_ERR_FATAL || !builder.failure_.empty()) {
      return;
    }
    std::string_view message =
        error->message == nullptr ? "not well-formed XML" : error->message;
    message = message.substr(0, message.find_last_not_of('\n') + 1);
    builder.failure_ = fmt::format("line {}: {}", error->line, message);
  }

  xmlParserCtxt* parser_;
  std::vector<XmlElement> open_;  // the first stands for the document
  size_t count_ = 0;
  std::string failure_;
};

}  // namespace

absl::StatusOr<XmlElement> ParseXml(std::string_view xml) {
  if (xml.size() > kMaxXmlSize) {
    return absl::InvalidArgumentError(fmt::format(
        "line 1: {} bytes of XML, more than {}", xml.size(), kMaxXmlSize));
  }
  if (xml.empty()) {
    return absl::InvalidArgumentError("line 1: empty, no XML");
  }
  const ParserHandle parser(
      xmlCreateMemoryParserCtxt(xml.data(), static_cast<int>(xml.size())));
  if (parser == nullptr) {
    return absl::ResourceExhaustedError("no memory for the XML parser");
  }
  // NOENT decodes "&amp;" in attributes; without a document type there are no
  // entities but the predefined ones.
  xmlCtxtUseOptions(parser.get(),
                    XML_PARSE_NONET | XML_PARSE_COMPACT | XML_PARSE_NOENT);
  TreeBuilder builder(parser.get());
  *parser->sax = TreeBuilder::Handler();
  parser->userData = &builder;
  xmlParseDocument(parser.get());
  return builder.Finish(parser->wellFormed != 0);
}

}  // namespace vmattest::measurement
