#include "inspection/worker/worker_header_parser.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::inspection {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

// A qcow2 header, version 2, that names "base" as its backing file.
std::string Qcow2(uint32_t cluster_bits = 16) {
  ByteWriter writer;
  writer.Raw("QFI\xfb").U32(2).U64(72).U32(4).U32(cluster_bits).U64(1 << 20);
  writer.Raw(Bytes(72 - 32, 0)).Raw("base");
  writer.Raw(Bytes(65536 - 76, 0));
  return std::string(AsText(writer.bytes()));
}

class WorkerHeaderParserTest : public ::testing::Test {
 protected:
  static WorkerPoolOptions Program(const std::string& program) {
    WorkerPoolOptions options;
    options.program = program;
    return ForHeaders(options);
  }
  absl::StatusOr<image::ImageHeader> Parse(image::HeaderParser& parser,
                                           const std::string& content,
                                           std::string_view format) {
    const auto path = dir_.Write("image", content);
    ASSIGN_OR_RETURN(const image::ContentFile file, image::OpenContent(path));
    return parser.Parse(file, path, format);
  }

  TempDir dir_;
  WorkerPool pool_{Program(VMATTEST_HEADER_WORKER)};
  WorkerPool hostile_pool_{Program(VMATTEST_HOSTILE_WORKER)};
};

TEST_F(WorkerHeaderParserTest, AnswersAsTheDirectParserDoes) {
  image::DirectHeaderParser direct;
  WorkerHeaderParser parser(pool_);
  for (const char* format : {"qcow2", "", "raw"}) {
    ASSERT_OK_AND_ASSIGN(const auto want, Parse(direct, Qcow2(), format));
    ASSERT_OK_AND_ASSIGN(const auto got, Parse(parser, Qcow2(), format));
    EXPECT_EQ(got.format, want.format);
    EXPECT_EQ(got.virtual_size, want.virtual_size);
    EXPECT_EQ(got.backing_file, want.backing_file);
    EXPECT_EQ(got.backing_format, want.backing_format);
    EXPECT_EQ(got.data_file, want.data_file);
    EXPECT_EQ(got.encrypted, want.encrypted);
  }
}

TEST_F(WorkerHeaderParserTest, BadHeaderIsToldInTheDirectParsersWords) {
  image::DirectHeaderParser direct;
  WorkerHeaderParser parser(pool_);
  const auto want = Parse(direct, Qcow2(40), "qcow2");
  ASSERT_FALSE(want.ok());
  EXPECT_EQ(Parse(parser, Qcow2(40), "qcow2").status(), want.status());
  EXPECT_THAT(Parse(parser, Qcow2(), "qcow2"), vmattest::testing::IsOk());
}

TEST_F(WorkerHeaderParserTest, ResolvesWholeChains) {
  dir_.Write("base", std::string(4096, '\0'));
  const auto top = dir_.Write("top.qcow2", Qcow2());
  WorkerHeaderParser parser(pool_);
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       image::ResolveChain(top, "qcow2", parser));
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[1].path, dir_.path() / "base");
  EXPECT_EQ(chain[1].format, "raw");
}

TEST_F(WorkerHeaderParserTest, NamedFormatsNeedNoProcess) {
  WorkerPoolOptions options;
  options.program = "/nonexistent";
  WorkerPool none(options);
  WorkerHeaderParser parser(none);
  ASSERT_OK_AND_ASSIGN(const auto header, Parse(parser, Qcow2(), "raw"));
  EXPECT_EQ(header.format, "raw");
}

// The hostile worker takes the format as its orders; empty and "qcow2" are what
// a parser sends, so it answers with that format.
TEST_F(WorkerHeaderParserTest, S25_ImplausibleAnswersAreRefused) {
  WorkerHeaderParser parser(hostile_pool_);
  EXPECT_THAT(Parse(parser, Qcow2(), ""),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("none of a header parser")));
}

TEST_F(WorkerHeaderParserTest, S25_CrashOfTheWorkerIsAnErrorThatNamesTheImage) {
  WorkerPoolOptions options;
  options.program = "/bin/false";
  WorkerPool broken(ForHeaders(options));
  WorkerHeaderParser parser(broken);
  const auto path = dir_.Write("image", Qcow2());
  EXPECT_THAT(image::ResolveChain(path, "qcow2", parser),
              StatusIs(absl::StatusCode::kUnavailable,
                       ::testing::AllOf(HasSubstr(path.string()),
                                        HasSubstr("exited with status 1"))));
}

}  // namespace
}  // namespace vmattest::inspection
