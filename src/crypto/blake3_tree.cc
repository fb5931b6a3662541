#include "crypto/blake3_tree.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "base/mutex.h"

extern "C" {
#include "blake3_impl.h"
}

namespace vmattest {
namespace {

constexpr size_t kChunk = BLAKE3_CHUNK_LEN;
constexpr size_t kValue = BLAKE3_OUT_LEN;
// Enough for the widest implementation to run several rounds per call.
constexpr size_t kBatch = 64;

// A caller that breaks a contract would write past a buffer.
void Require(bool kept) {
  if (!kept) {
    std::abort();
  }
}

// The values of `chunks` full chunks.
void HashFullChunks(const uint8_t* data, size_t chunks, uint64_t counter,
                    uint8_t* out) {
  const uint8_t* inputs[kBatch];
  for (size_t done = 0; done < chunks;) {
    const size_t now = std::min(kBatch, chunks - done);
    for (size_t i = 0; i < now; ++i) {
      inputs[i] = data + (done + i) * kChunk;
    }
    blake3_hash_many(inputs, now, kChunk / BLAKE3_BLOCK_LEN, IV, counter + done,
                     true, 0, CHUNK_START, CHUNK_END, out + done * kValue);
    done += now;
  }
}

// The value of the input's last chunk; `size` may be short, never zero.
void HashLastChunk(const uint8_t* data, size_t size, uint64_t counter,
                   uint8_t* out) {
  uint32_t state[8];
  std::copy(std::begin(IV), std::end(IV), state);
  uint8_t flags = CHUNK_START;
  while (size > BLAKE3_BLOCK_LEN) {
    blake3_compress_in_place(state, data, BLAKE3_BLOCK_LEN, counter, flags);
    data += BLAKE3_BLOCK_LEN;
    size -= BLAKE3_BLOCK_LEN;
    flags = 0;
  }
  uint8_t last[BLAKE3_BLOCK_LEN] = {};
  std::memcpy(last, data, size);
  blake3_compress_in_place(state, last, static_cast<uint8_t>(size), counter,
                           flags | CHUNK_END);
  store_cv_words(out, state);
}

// One level up, in place: pairs become their parents, an odd last value moves
// up as it is. That gives every left subtree the largest power of two.
size_t FoldLevel(uint8_t* values, size_t count) {
  const uint8_t* inputs[kBatch];
  const size_t pairs = count / 2;
  for (size_t done = 0; done < pairs;) {
    const size_t now = std::min(kBatch, pairs - done);
    for (size_t i = 0; i < now; ++i) {
      inputs[i] = values + (done + i) * 2 * kValue;
    }
    // Each call writes below what it still has to read, but within one call
    // the implementations read all inputs of a group before they write it.
    blake3_hash_many(inputs, now, 1, IV, 0, false, PARENT, 0, 0,
                     values + done * kValue);
    done += now;
  }
  if (count % 2 != 0) {
    std::memmove(values + pairs * kValue, values + (count - 1) * kValue,
                 kValue);
  }
  return pairs + count % 2;
}

void FoldTo(size_t wanted, uint8_t* values, size_t count) {
  while (count > wanted) {
    count = FoldLevel(values, count);
  }
}

// The last two values' parent is the root.
DigestBytes FoldToRoot(uint8_t* values, size_t count) {
  FoldTo(2, values, count);
  uint8_t out[64];
  blake3_compress_xof(IV, values, BLAKE3_BLOCK_LEN, 0, PARENT | ROOT, out);
  return DigestBytes(out, out + kValue);
}

DigestBytes HashOneChunk(ByteView data) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  if (!data.empty()) {
    blake3_hasher_update(&hasher, data.data(), data.size());
  }
  DigestBytes digest(kValue);
  blake3_hasher_finalize(&hasher, digest.data(), digest.size());
  return digest;
}

// Of more than one chunk: the fold ends in the root.
DigestBytes HashOneBlock(ByteView data) {
  alignas(64) uint8_t values[kBlake3BlockSize / kChunk * kValue];
  const size_t full = data.size() / kChunk;
  const size_t rest = data.size() % kChunk;
  HashFullChunks(data.data(), full, 0, values);
  if (rest != 0) {
    HashLastChunk(data.data() + full * kChunk, rest, full,
                  values + full * kValue);
  }
  return FoldToRoot(values, full + (rest != 0 ? 1 : 0));
}

size_t BlockCount(size_t size) {
  return (size + kBlake3BlockSize - 1) / kBlake3BlockSize;
}

ByteView Block(ByteView data, size_t index) {
  const size_t begin = index * kBlake3BlockSize;
  return data.subspan(begin, std::min(kBlake3BlockSize, data.size() - begin));
}

// What the threads of one parallel digest share. Tasks that start after the
// last block is taken find nothing to do and touch only this, which they own.
struct SharedWork {
  explicit SharedWork(ByteView all)
      : data(all), blocks(BlockCount(all.size())), values(blocks) {}

  const ByteView data;
  const size_t blocks;
  std::vector<Blake3Value> values;  // the caller's again once all are done
  std::atomic<size_t> next = 0;
  Mutex mutex;
  CondVar changed;
  size_t done GUARDED_BY(mutex) = 0;

  void Run() {
    size_t mine = 0;
    while (true) {
      const size_t index = next.fetch_add(1);
      if (index >= blocks) {
        break;
      }
      values[index] =
          Blake3BlockHasher(index).Update(Block(data, index)).Finish();
      ++mine;
    }
    if (mine > 0) {
      const MutexLock lock(mutex);
      done += mine;
      changed.NotifyAll();
    }
  }

  void Await() {
    const MutexLock lock(mutex);
    while (done < blocks) {
      changed.Wait(mutex);
    }
  }
};

}  // namespace

void DetectBlake3Cpu() {
  static const size_t degree = blake3_simd_degree();
  (void)degree;
}

Blake3BlockHasher::Blake3BlockHasher(uint64_t index)
    : first_chunk_(index * kChunks) {
  DetectBlake3Cpu();
}

Blake3BlockHasher& Blake3BlockHasher::Update(ByteView piece) {
  // Only the last chunk may be short: hash_many wants full ones.
  const size_t full = piece.size() / kChunk;
  const size_t rest = piece.size() % kChunk;
  Require(chunks_ + full + (rest != 0 ? 1 : 0) <= kChunks);
  HashFullChunks(piece.data(), full, first_chunk_ + chunks_,
                 &values_[chunks_ * kValue]);
  chunks_ += full;
  if (rest != 0) {
    HashLastChunk(piece.data() + full * kChunk, rest, first_chunk_ + chunks_,
                  &values_[chunks_ * kValue]);
    ++chunks_;
  }
  return *this;
}

Blake3BlockHasher& Blake3BlockHasher::UpdateZeros(size_t size) {
  static constexpr std::array<uint8_t, kBatch * kChunk> kZeros{};
  while (size > 0) {
    const size_t now = std::min(size, kZeros.size());
    Update(ByteView(kZeros.data(), now));
    size -= now;
  }
  return *this;
}

Blake3Value Blake3BlockHasher::Finish() {
  Require(chunks_ > 0);
  FoldTo(1, values_.data(), chunks_);
  Blake3Value value;
  std::copy_n(values_.begin(), kValue, value.begin());
  return value;
}

Blake3Value FoldBlake3Values(std::vector<Blake3Value> values) {
  DetectBlake3Cpu();
  Require(!values.empty());
  FoldTo(1, values.front().data(), values.size());
  return values.front();
}

DigestBytes FoldBlake3Root(std::vector<Blake3Value> values) {
  DetectBlake3Cpu();
  Require(values.size() >= 2);
  return FoldToRoot(values.front().data(), values.size());
}

DigestBytes Blake3(ByteView data) {
  DetectBlake3Cpu();
  if (data.size() <= kChunk) {
    return HashOneChunk(data);
  }
  if (data.size() <= kBlake3BlockSize) {
    return HashOneBlock(data);
  }
  std::vector<Blake3Value> values(BlockCount(data.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = Blake3BlockHasher(i).Update(Block(data, i)).Finish();
  }
  return FoldBlake3Root(std::move(values));
}

DigestBytes Blake3(ByteView data, Executor& executor, size_t tasks) {
  if (BlockCount(data.size()) < 2) {
    return Blake3(data);
  }
  const auto work = std::make_shared<SharedWork>(data);
  for (size_t i = 1; i < std::min(tasks, work->blocks); ++i) {
    if (!executor.Submit([work] { work->Run(); }).ok()) {
      break;
    }
  }
  work->Run();
  work->Await();
  return FoldBlake3Root(std::move(work->values));
}

}  // namespace vmattest
