#include "image/header_parser.h"
#include "worker/worker_program.h"

namespace vmattest::worker {
namespace {

void Fill(const image::ImageHeader& header,
          internal::WorkerReply::Header& reply) {
  reply.set_format(header.format);
  reply.set_virtual_size(header.virtual_size);
  if (header.backing_file) {
    reply.set_backing_file(*header.backing_file);
  }
  if (header.backing_format) {
    reply.set_backing_format(*header.backing_format);
  }
  if (header.data_file) {
    reply.set_data_file(*header.data_file);
  }
  reply.set_encrypted(header.encrypted);
}

}  // namespace

absl::StatusOr<internal::WorkerReply> HandleParseHeader(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors) {
  if (!request.has_parse_header() || descriptors.size() != 1) {
    return absl::InvalidArgumentError("no request to parse a header");
  }
  ASSIGN_OR_RETURN(const image::ImageHeader header,
                   image::ReadImageHeader(
                       descriptors[0].get(), request.parse_header().size(),
                       "the image", request.parse_header().format()));
  internal::WorkerReply reply;
  Fill(header, *reply.mutable_header());
  return reply;
}

}  // namespace vmattest::worker
