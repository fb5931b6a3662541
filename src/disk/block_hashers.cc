#include "disk/block_hashers.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "crypto/digest.h"

namespace vmattest::disk {
namespace {

constexpr uint8_t kLeafPrefix = 0x00;

}  // namespace

BlockHashers::BlockHashers(HashAlgorithm algorithm, size_t threads,
                           BlockTree& tree)
    : algorithm_(algorithm), tree_(tree) {
  try {
    for (size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Run(); });
    }
  } catch (const std::system_error&) {
    // Those that there are do it all, or the caller does.
  }
}

BlockHashers::~BlockHashers() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void BlockHashers::Update(ByteView piece) {
  while (!piece.empty()) {
    Slot& slot = slots_[next_ % kSlots];
    if (!slot.block) {
      slot.block = std::make_unique_for_overwrite<uint8_t[]>(kGuestBlockSize);
    }
    if (slot.size == 0) {
      slot.zeros_before = std::exchange(zeros_, 0);
    }
    const size_t part = std::min(piece.size(), kGuestBlockSize - slot.size);
    std::copy_n(piece.begin(), part, slot.block.get() + slot.size);
    slot.size += part;
    piece = piece.subspan(part);
    if (slot.size == kGuestBlockSize) {
      EndBlock();
    }
  }
}

void BlockHashers::Finish() {
  if (slots_[next_ % kSlots].size > 0) {
    EndBlock();
  }
  while (taken_ < next_) {
    TakeOldest();
  }
  tree_.AddZeros(std::exchange(zeros_, 0));
}

void BlockHashers::EndBlock() {
  if (threads_.empty()) {
    HashSlot(slots_[next_ % kSlots]);
  }
  {
    const MutexLock lock(mutex_);
    slots_[next_ % kSlots].hashed = threads_.empty();
    filled_ = ++next_;
    changed_.NotifyAll();
  }
  if (next_ - taken_ == kSlots) {
    TakeOldest();
  }
}

void BlockHashers::TakeOldest() {
  Slot& slot = slots_[taken_ % kSlots];
  {
    const MutexLock lock(mutex_);
    while (!slot.hashed) {
      changed_.Wait(mutex_);
    }
  }
  tree_.AddZeros(slot.zeros_before);
  tree_.Add(std::move(slot.digest));
  slot.size = 0;
  ++taken_;
}

void BlockHashers::HashSlot(Slot& slot) const {
  slot.digest = HashParts(algorithm_, {ByteView(&kLeafPrefix, 1),
                                       ByteView(slot.block.get(), slot.size)});
}

void BlockHashers::Run() {
  pthread_setname_np(pthread_self(), "guest-hash");
  while (true) {
    Slot* slot = nullptr;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && started_ == filled_) {
        changed_.Wait(mutex_);
      }
      if (stopping_) {
        return;
      }
      slot = &slots_[started_++ % kSlots];
    }
    HashSlot(*slot);
    const MutexLock lock(mutex_);
    slot->hashed = true;
    changed_.NotifyAll();
  }
}

}  // namespace vmattest::disk
