#include "agent/program.h"

int main(int argc, char** argv) {
  return vmattest::agent::RunAgent(argc, argv, stdout, stderr);
}
