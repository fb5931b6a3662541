#include "disk/block_hashers.h"

#include <pthread.h>

#include <system_error>
#include <utility>

#include "crypto/digest.h"

namespace vmattest::disk {
namespace {

constexpr uint8_t kLeafPrefix = 0x00;

}  // namespace

BlockHashers::BlockHashers(HashAlgorithm algorithm, size_t threads,
                           BlockTree& tree,
                           std::function<void(size_t size)> filled)
    : algorithm_(algorithm), tree_(tree), told_(std::move(filled)) {
  try {
    for (size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Run(); });
    }
  } catch (const std::system_error&) {
    // Those that there are do it all, with the caller.
  }
}

BlockHashers::~BlockHashers() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

std::span<uint8_t> BlockHashers::Next() {
  while (OldestIsHashed() || lent_ - taken_ == kSlots) {
    TakeOldest();
  }
  Slot& slot = slots_[lent_++ % kSlots];
  if (spare_.empty()) {
    slot.leaf = std::make_unique_for_overwrite<Leaf>();
    slot.leaf->prefix = kLeafPrefix;
  } else {
    slot.leaf = std::move(spare_.back());
    spare_.pop_back();
  }
  slot.zeros_before = std::exchange(zeros_, 0);
  return slot.leaf->block;
}

void BlockHashers::Filled(size_t size) {
  Slot& slot = slots_[next_ % kSlots];
  slot.size = size;
  if (threads_.empty()) {
    HashSlot(slot);
  }
  {
    const MutexLock lock(mutex_);
    slot.hashed = threads_.empty();
    filled_ = ++next_;
    started_ = threads_.empty() ? filled_ : started_;
  }
  work_.NotifyOne();
  told_(size);
}

void BlockHashers::Finish() {
  while (taken_ < next_) {
    TakeOldest();
  }
  tree_.AddZeros(std::exchange(zeros_, 0));
}

bool BlockHashers::HashOrWait(const Slot& wanted) {
  Slot* slot = nullptr;
  {
    const MutexLock lock(mutex_);
    while (started_ == filled_ && !wanted.hashed) {
      done_.Wait(mutex_);
    }
    if (wanted.hashed) {
      return true;
    }
    slot = &slots_[started_++ % kSlots];
  }
  HashSlot(*slot);
  const MutexLock lock(mutex_);
  slot->hashed = true;
  return wanted.hashed;
}

bool BlockHashers::OldestIsHashed() {
  if (taken_ == next_) {
    return false;
  }
  const MutexLock lock(mutex_);
  return slots_[taken_ % kSlots].hashed;
}

void BlockHashers::TakeOldest() {
  Slot& slot = slots_[taken_ % kSlots];
  while (!HashOrWait(slot)) {
  }
  tree_.AddZeros(slot.zeros_before);
  tree_.Add(std::move(slot.digest));
  spare_.push_back(std::move(slot.leaf));
  ++taken_;
}

void BlockHashers::HashSlot(Slot& slot) const {
  slot.digest = Hash(algorithm_, ByteView(&slot.leaf->prefix, 1 + slot.size));
}

void BlockHashers::Run() {
  pthread_setname_np(pthread_self(), "guest-hash");
  while (true) {
    Slot* slot = nullptr;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && started_ == filled_) {
        work_.Wait(mutex_);
      }
      if (stopping_) {
        return;
      }
      slot = &slots_[started_++ % kSlots];
    }
    HashSlot(*slot);
    {
      const MutexLock lock(mutex_);
      slot->hashed = true;
    }
    done_.NotifyOne();
  }
}

}  // namespace vmattest::disk
