#include "crypto/digest.h"
#include "crypto/page_hash.h"
#include "worker/memory/memory_session.h"

int main(int argc, char** argv) {
  using vmattest::HashAlgorithm;
  std::unique_ptr<vmattest::worker::MemorySession> session;
  vmattest::worker::WorkerProgram program;
  program.name = "vmattest-memory-worker";
  program.serves_many = true;
  program.maps_files = true;
  program.prepare = [&session] {
    // OpenSSL loads its algorithms from files.
    for (const HashAlgorithm algorithm : vmattest::kAllHashAlgorithms) {
      (void)vmattest::Hash(algorithm, {});
    }
    const vmattest::PieceTagger load{
        vmattest::SecretBytes(vmattest::RandomBytes(32))};
    session = std::make_unique<vmattest::worker::MemorySession>();
  };
  program.handle = [&session](const auto& request, auto descriptors,
                              const auto& progress) {
    return session->Handle(request, std::move(descriptors), progress);
  };
  return vmattest::worker::RunWorker(argc, argv, program);
}
