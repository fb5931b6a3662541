#include "agent/program.h"

int main(int argc, char** argv) {
  return vmattest::agent::RunAgent({argv + 1, argv + argc}, stdout, stderr);
}
