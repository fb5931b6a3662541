#ifndef VMATTEST_INSPECTION_WORKER_WORKER_HEADER_PARSER_H_
#define VMATTEST_INSPECTION_WORKER_WORKER_HEADER_PARSER_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "image/header_parser.h"
#include "inspection/worker/worker_pool.h"

namespace vmattest::inspection {

// Parses headers in a process that can do nothing else (rule S25). One process
// serves one domain: what an image does to its parser, it does to its own VM's
// measurement. Formats of which nothing is parsed need no process.
//
// UNAVAILABLE: the process died, twice, or there is none. DATA_LOSS: its answer
// cannot be of a parser of ours.
class WorkerHeaderParser final : public image::HeaderParser {
 public:
  // `pool` runs vmattest-header-worker and must outlive the parser.
  explicit WorkerHeaderParser(
      WorkerPool& pool,
      std::chrono::milliseconds timeout = std::chrono::seconds(30))
      : pool_(pool), timeout_(timeout) {}

  [[nodiscard]] absl::StatusOr<image::ImageHeader> Parse(
      const image::ContentFile& file, const std::string& name,
      std::string_view format) override;

 private:
  absl::StatusOr<internal::WorkerReply> Ask(const image::ContentFile& file,
                                            std::string_view format);

  WorkerPool& pool_;
  const std::chrono::milliseconds timeout_;
  std::unique_ptr<Worker> worker_;  // from the first header on
};

// `options` with the limits that headers need, few, and one process started
// ahead: 8 workers, 256 MiB, 10 s of processor time.
WorkerPoolOptions ForHeaders(WorkerPoolOptions options);

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_WORKER_HEADER_PARSER_H_
