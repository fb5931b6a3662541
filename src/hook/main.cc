#include "hook/program.h"

int main(int argc, char** argv) { return vmattest::hook::RunHook(argc, argv); }
