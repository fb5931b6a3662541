#include "measurement/xml_element.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

XmlElement Parse(std::string_view xml) {
  auto parsed = ParseXml(xml);
  EXPECT_THAT(parsed, IsOk()) << xml;
  return parsed.ok() ? *parsed : XmlElement{};
}

TEST(ParseXml, KeepsElementsAttributesAndText) {
  const XmlElement root = Parse("<a z='1' b='2'><c>text</c><c/></a>");
  EXPECT_EQ(root.name, "a");
  ASSERT_THAT(root.attributes, SizeIs(2));
  EXPECT_EQ(root.attributes[0].name, "b");
  EXPECT_EQ(root.Get("z"), "1");
  ASSERT_THAT(root.children, SizeIs(2));
  EXPECT_EQ(root.Child("c")->Text(), "text");
  EXPECT_TRUE(root.children[1].IsBare());
}

TEST(ParseXml, CommentsInstructionsAndIndentationDoNotMatter) {
  EXPECT_EQ(Parse("<a><b>x</b></a>"),
            Parse("<?xml version='1.0'?><!-- c -->\n<a>\n  <?pi x?>"
                  "<b>x<!-- c --></b>\n\t<!-- c -->\n</a>\n"));
}

TEST(ParseXml, WhiteSpaceBesideTextIsKept) {
  EXPECT_EQ(Parse("<a> x </a>").Text(), " x ");
  EXPECT_TRUE(Parse("<a> \n </a>").IsBare());
}

TEST(ParseXml, CharacterDataSectionsAreText) {
  EXPECT_EQ(Parse("<a><![CDATA[x<y]]></a>"), Parse("<a>x&lt;y</a>"));
}

TEST(ParseXml, MixedContentKeepsItsPositions) {
  EXPECT_FALSE(Parse("<a>x<b/></a>") == Parse("<a><b/>x</a>"));
  const XmlElement mixed = Parse("<a>x<b/>y</a>");
  ASSERT_THAT(mixed.texts, SizeIs(2));
  EXPECT_EQ(mixed.texts[1].before_child, 1U);
  EXPECT_EQ(mixed.Text(), "");
}

TEST(ParseXml, PrefixesDoNotMatterButNamespacesDo) {
  const XmlElement a = Parse("<d xmlns:q='urn:q'><q:x q:y='1'/></d>");
  EXPECT_EQ(a, Parse("<d><x xmlns='urn:q' xmlns:p='urn:q' p:y='1'/></d>"));
  EXPECT_FALSE(a == Parse("<d xmlns:q='urn:r'><q:x q:y='1'/></d>"));
  EXPECT_FALSE(a == Parse("<d><x y='1'/></d>"));
}

TEST(ParseXml, UnboundPrefixIsPartOfTheName) {
  EXPECT_EQ(Parse("<d><q:x/></d>").children[0].name, "q:x");
}

TEST(ParseXml, SaysTheLineOfAnError) {
  EXPECT_THAT(ParseXml("<a>\n<b>\n</a>"),
              StatusIs(kInvalid, HasSubstr("line 3: ")));
  EXPECT_THAT(ParseXml(""), StatusIs(kInvalid, HasSubstr("line 1: empty")));
  EXPECT_THAT(ParseXml("hello"), StatusIs(kInvalid, HasSubstr("line 1: ")));
  EXPECT_THAT(ParseXml("<a/><b/>"), StatusIs(kInvalid, HasSubstr("line 1: ")));
  EXPECT_THAT(ParseXml("<a b='1' b='2'/>"),
              StatusIs(kInvalid, HasSubstr("line 1: ")));
  EXPECT_THAT(ParseXml(std::string_view("<a>\0</a>", 8)),
              StatusIs(kInvalid, HasSubstr("line 1: ")));
}

TEST(ParseXml, RefusesDocumentTypesWithTheirLine) {
  EXPECT_THAT(
      ParseXml("<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>"),
      StatusIs(kInvalid, HasSubstr("line 2: document types are refused")));
}

TEST(ParseXml, RefusesEntityBombs) {
  std::string bomb = "<!DOCTYPE a [<!ENTITY e0 'ha'>";
  for (int i = 1; i < 30; ++i) {
    const std::string below = "&e" + std::to_string(i - 1) + ";";
    bomb += "<!ENTITY e" + std::to_string(i) + " '" + below + below + "'>";
  }
  bomb += "]><a>&e29;</a>";
  EXPECT_THAT(ParseXml(bomb), StatusIs(kInvalid, HasSubstr("document types")));
}

TEST(ParseXml, RefusesExternalEntities) {
  EXPECT_THAT(ParseXml("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
                       "<a>&x;</a>"),
              StatusIs(kInvalid, HasSubstr("document types")));
  EXPECT_THAT(ParseXml("<a>&x;</a>"), StatusIs(kInvalid));
}

std::string Nested(int depth) {
  std::string xml;
  for (int i = 0; i < depth; ++i) {
    xml += "<a>";
  }
  for (int i = 0; i < depth; ++i) {
    xml += "</a>";
  }
  return xml;
}

TEST(ParseXml, RefusesDeepNesting) {
  EXPECT_THAT(ParseXml(Nested(kMaxXmlDepth - 1)), IsOk());
  EXPECT_THAT(ParseXml(Nested(kMaxXmlDepth + 1)), StatusIs(kInvalid));
  EXPECT_THAT(ParseXml(Nested(200'000)), StatusIs(kInvalid));
}

TEST(ParseXml, RefusesTooManyElements) {
  std::string xml = "<a>";
  for (size_t i = 0; i < kMaxXmlElements; ++i) {
    xml += "<b/>";
  }
  EXPECT_THAT(ParseXml(xml + "</a>"),
              StatusIs(kInvalid, HasSubstr("elements")));
}

TEST(ParseXml, RefusesLongNames) {
  const std::string name(kMaxXmlNameSize + 1, 'n');
  EXPECT_THAT(ParseXml("<" + name + "/>"),
              StatusIs(kInvalid, HasSubstr("longer than")));
  EXPECT_THAT(ParseXml("<a " + name + "='1'/>"),
              StatusIs(kInvalid, HasSubstr("longer than")));
  EXPECT_THAT(ParseXml("<a xmlns='urn:" + name + "'/>"),
              StatusIs(kInvalid, HasSubstr("longer than")));
}

TEST(ParseXml, RefusesAHundredMegabytesWithoutParsingThem) {
  std::string xml = "<domain><name>";
  xml.append(100U << 20, 'x');
  xml += "</name></domain>";
  EXPECT_THAT(ParseXml(xml), StatusIs(kInvalid, HasSubstr("more than")));
}

TEST(ParseXml, ReadsOtherEncodings) {
  EXPECT_EQ(
      Parse("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>").Text(),
      "\xc3\xa9");
  EXPECT_THAT(ParseXml("<a>\xe9</a>"), StatusIs(kInvalid));
}

TEST(WriteXml, ParsesToAnEqualElement) {
  for (const char* xml :
       {"<a/>", "<a b='&lt;&apos;&quot;&#10;&#9;&amp;'>x &lt; y &gt; z</a>",
        "<a>x<b/>y<c>z</c>w</a>",
        "<a xmlns:q='urn:q'><q:b q:c='1' d='2'><e/></q:b></a>",
        "<a xml:space='preserve'>x&#13;</a>",
        "<a xmlns='urn:1'><b xmlns='urn:2'><c xmlns=''/></b></a>"}) {
    const XmlElement parsed = Parse(xml);
    EXPECT_EQ(Parse(WriteXml(parsed)), parsed) << WriteXml(parsed);
  }
}

TEST(XmlElement, ErasingAChildKeepsThePositionsOfText) {
  XmlElement element = Parse("<a>x<b/>y<c/>z</a>");
  element.EraseChild(element.Child("b"));
  EXPECT_EQ(element.texts.back().before_child, 1U);
}

TEST(XmlElement, SetKeepsAttributesSorted) {
  XmlElement element = Parse("<a b='1' d='2'/>");
  element.Set("c", "3");
  element.Set("b", "4");
  EXPECT_EQ(WriteXml(element), "<a b='4' c='3' d='2'/>");
}

}  // namespace
}  // namespace vmattest::measurement
