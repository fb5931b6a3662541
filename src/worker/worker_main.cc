#include "worker/worker_program.h"

int main(int argc, char** argv) {
  vmattest::worker::WorkerProgram program;
  program.name = "vmattest-worker";
  program.prepare = vmattest::worker::PrepareInspectDisk;
  program.handle = vmattest::worker::HandleInspectDisk;
  return vmattest::worker::RunWorker(argc, argv, program);
}
