#include "daemon/program.h"

int main(int argc, char** argv) {
  return vmattest::daemon::RunProgram(argc, argv);
}
