#ifndef VMATTEST_HOOK_PROGRAM_H_
#define VMATTEST_HOOK_PROGRAM_H_

namespace vmattest::hook {

// vmattest-hook, but for main(): libvirt's QEMU hook. Arguments DOMAIN
// OPERATION SUB-OPERATION EXTRA, the domain's XML on standard input. 0: go on.
// 1: refused, with one sentence on standard error, which libvirt shows to
// whoever asked for the start. Only operations that gate/protocol names as
// gated are ever refused; `reconnect` above all is not, since that would end a
// VM that runs.
int RunHook(int argc, char** argv);

}  // namespace vmattest::hook

#endif  // VMATTEST_HOOK_PROGRAM_H_
