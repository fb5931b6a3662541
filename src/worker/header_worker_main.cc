#include "worker/worker_program.h"

int main(int argc, char** argv) {
  vmattest::worker::WorkerProgram program;
  program.name = "vmattest-header-worker";
  program.serves_many = true;
  program.handle = [](const auto& request, auto descriptors,
                      const auto& /*progress*/) {
    return request.has_parse_guest_request()
               ? vmattest::worker::HandleParseGuestRequest(request)
               : vmattest::worker::HandleParseHeader(request,
                                                     std::move(descriptors));
  };
  return vmattest::worker::RunWorker(argc, argv, program);
}
