#include "inspection/worker/worker_header_parser.h"

#include <utility>

namespace vmattest::inspection {
namespace {

constexpr size_t kMaxName = 1023;  // QEMU docs/interop/qcow2.txt
constexpr size_t kMaxFormatName = 15;
constexpr size_t kMaxWorkers = 8;
constexpr uint64_t kMemory = uint64_t{256} << 20;
constexpr std::chrono::seconds kCpuTime{10};
constexpr size_t kMaxReply = 64U << 10;

bool IsName(const std::string& name, size_t max_size) {
  return !name.empty() && name.size() <= max_size &&
         name.find('\0') == std::string::npos;
}

// Only what ParseImageHeader can answer.
bool IsPlausible(const internal::WorkerReply::Header& header,
                 std::string_view format) {
  return IsName(header.format(), kMaxFormatName) &&
         (format.empty() || header.format() == format) &&
         (!header.has_backing_file() ||
          IsName(header.backing_file(), kMaxName)) &&
         (!header.has_backing_format() || header.backing_format().empty() ||
          IsName(header.backing_format(), kMaxFormatName)) &&
         (!header.has_data_file() || IsName(header.data_file(), kMaxName));
}

image::ImageHeader ToHeader(const internal::WorkerReply::Header& reply) {
  image::ImageHeader header;
  header.format = reply.format();
  header.virtual_size = reply.virtual_size();
  if (reply.has_backing_file()) {
    header.backing_file = reply.backing_file();
  }
  if (reply.has_backing_format()) {
    header.backing_format = reply.backing_format();
  }
  if (reply.has_data_file()) {
    header.data_file = reply.data_file();
  }
  header.encrypted = reply.encrypted();
  return header;
}

}  // namespace

WorkerPoolOptions ForHeaders(WorkerPoolOptions options) {
  options.max_workers = kMaxWorkers;
  options.spares = 1;
  options.memory_bytes = kMemory;
  options.cpu_time = kCpuTime;
  options.max_reply = kMaxReply;
  options.own_namespaces = false;
  return options;
}

absl::StatusOr<internal::WorkerReply> WorkerHeaderParser::Ask(
    const image::ContentFile& file, std::string_view format) {
  WorkerCall call;
  call.deadline = std::chrono::steady_clock::now() + timeout_;
  if (worker_ == nullptr) {
    ASSIGN_OR_RETURN(worker_, pool_.Take(call));
  }
  internal::WorkerRequest request;
  request.mutable_parse_header()->set_format(std::string(format));
  request.mutable_parse_header()->set_size(file.size);
  std::vector<UniqueFd> descriptors;
  ASSIGN_OR_RETURN(UniqueFd copy,
                   ipc::Duplicate(file.fd.get(), "handing over an image"));
  descriptors.push_back(std::move(copy));
  return worker_->Call(request, std::move(descriptors), call);
}

absl::StatusOr<image::ImageHeader> WorkerHeaderParser::Parse(
    const image::ContentFile& file, const std::string& /*name*/,
    std::string_view format) {
  if (!format.empty() && format != "qcow2") {
    return image::ParseImageHeader({}, format);
  }
  absl::StatusOr<internal::WorkerReply> reply = Ask(file, format);
  if (absl::IsUnavailable(reply.status())) {
    worker_.reset();  // perhaps it was killed while it waited for work
    reply = Ask(file, format);
  }
  RETURN_IF_ERROR(reply.status());
  if (!reply->has_header() || !IsPlausible(reply->header(), format)) {
    worker_.reset();
    return absl::DataLossError(
        "the worker's answer is none of a header parser");
  }
  return ToHeader(reply->header());
}

}  // namespace vmattest::inspection
