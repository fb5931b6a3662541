#include "signer/program.h"

int main(int argc, char** argv) {
  return vmattest::signer::RunSigner(argc, argv);
}
