#include "verifierd/verifierd.h"

int main(int argc, char** argv) {
  return vmattest::verifierd::RunProgram(argc, argv);
}
