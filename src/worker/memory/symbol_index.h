#ifndef VMATTEST_WORKER_MEMORY_SYMBOL_INDEX_H_
#define VMATTEST_WORKER_MEMORY_SYMBOL_INDEX_H_

#include <cstddef>

#include "linuxguest/modules.h"
#include "linuxguest/symbol_table.h"
#include "worker/memory/meaning_reply.h"

namespace vmattest::worker {

inline constexpr size_t kMaxSymbolName = 64;
inline constexpr size_t kMaxIndexBytes = 1 << 20;  // of a reply

// Gives the parts of the kernel's and modules' text and constants their
// symbols, so that a changed page can be named when the guest is gone: of those
// that begin in a page as many as leave the whole below kMaxIndexBytes, at most
// 8, always the last, which reaches into the next page; of several at one
// address one. None to parts with absent bytes, and none at all if one a page
// is too much. Pure; any thread.
void AddSymbols(const linuxguest::SymbolTable& kernel,
                const linuxguest::Modules& modules, MeaningReply& reply);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_SYMBOL_INDEX_H_
