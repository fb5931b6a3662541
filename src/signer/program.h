#ifndef VMATTEST_SIGNER_PROGRAM_H_
#define VMATTEST_SIGNER_PROGRAM_H_

namespace vmattest::signer {

// vmattest-signer, but for main(): holds the keys and the TPM for its parent,
// vmattestd (rule S25, docs/processes.md). 0: ended as asked, or its parent is
// gone; 1: it cannot protect itself, or was told nonsense; 2: usage, and when
// nobody is at the other end.
int RunSigner(int argc, char** argv);

}  // namespace vmattest::signer

#endif  // VMATTEST_SIGNER_PROGRAM_H_
