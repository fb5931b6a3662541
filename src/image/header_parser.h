#ifndef VMATTEST_IMAGE_HEADER_PARSER_H_
#define VMATTEST_IMAGE_HEADER_PARSER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "image/content_file.h"
#include "image/image_chain.h"

namespace vmattest::image {

// Who parses headers of disk images, bytes that a guest may have written (rule
// S25). One parser is for the images of one domain. One thread at a time;
// blocks while the header is read.
class HeaderParser {
 public:
  virtual ~HeaderParser() = default;
  // As ParseImageHeader (image_chain.h); who calls puts the file's name before
  // messages. `name` is for what reading says.
  //   INVALID_ARGUMENT: the header. ABORTED: the file is shorter than it was.
  //   UNAVAILABLE: what would parse it is not there, or died of it.
  [[nodiscard]] virtual absl::StatusOr<ImageHeader> Parse(
      const ContentFile& file, const std::string& name,
      std::string_view format) = 0;
};

// In this process: for who only measures what is his own, and for tests.
class DirectHeaderParser final : public HeaderParser {
 public:
  [[nodiscard]] absl::StatusOr<ImageHeader> Parse(
      const ContentFile& file, const std::string& name,
      std::string_view format) override;
};

// Called for each domain, from any thread.
using HeaderParserFactory = std::function<std::unique_ptr<HeaderParser>()>;
std::unique_ptr<HeaderParser> MakeDirectHeaderParser();

// Reads as much of the image behind `fd`, `size` bytes, as its header can take,
// and parses it.
absl::StatusOr<ImageHeader> ReadImageHeader(int fd, uint64_t size,
                                            const std::string& name,
                                            std::string_view format);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_HEADER_PARSER_H_
