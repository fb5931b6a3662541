#ifndef VMATTEST_IPC_SANDBOX_H_
#define VMATTEST_IPC_SANDBOX_H_

#include "base/status.h"

// How a program of ours gives up, at its start, what it will not need (rule
// S25; docs/processes.md has the lists). Nothing can be taken back. Call them
// while the process has one thread; threads made later are bound, too.
//
// INTERNAL, or what errno says: the kernel refused. Go no further then.

namespace vmattest::ipc {

// No core dump, and nobody but root may trace this process or read its memory.
absl::Status HideMemory();

// All capabilities, also the ones that exec gave to root. Needs no right.
absl::Status RenounceCapabilities();

// For what parses bytes that a guest chose. Left are: reading descriptors that
// it has, messages on kChannelFd and bytes on other sockets that it has,
// anonymous memory that is not executable, threads, time, the end. Whatever
// else kills the process: no file is opened, no socket made, no process
// started, nobody signalled.
//
// With `map_files` it may map files that it has, for reading alone, and write
// into those that it was handed for that.
// `second_channel` is another descriptor for messages, to a helper that it has
// started before; -1: there is none.
absl::Status EnterWorkerSandbox(int second_channel = -1,
                                bool map_files = false);

// For what starts programs of others on behalf of the above (libguestfs and its
// QEMU), which inherit it. Files, processes and Unix sockets stay usable.
// Tracing, other processes' memory, modules, namespaces, BPF, keys and their
// like kill the process; mounting, changing user, and leaving the process group
// fail with EPERM, sockets of other families with EAFNOSUPPORT.
absl::Status EnterLauncherSandbox();

// For what holds keys. Files, the TPM's device and Unix sockets stay usable.
// Starting programs or processes, tracing, other processes' memory, mounts,
// modules, namespaces, becoming another user and the like kill the process;
// sockets of other families fail with EAFNOSUPPORT, what is not listed with
// EPERM.
absl::Status EnterSignerSandbox();

}  // namespace vmattest::ipc

#endif  // VMATTEST_IPC_SANDBOX_H_
