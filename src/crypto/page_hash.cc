#include "crypto/page_hash.h"

#include <algorithm>
#include <cstdlib>

#include "crypto/blake3_tree.h"
#include "crypto/digest.h"
#include "crypto/handles.h"
#include "crypto/openssl_errors.h"

extern "C" {
#include "blake3_impl.h"
}

namespace vmattest {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kChunks = kPage / BLAKE3_CHUNK_LEN;
constexpr size_t kValue = BLAKE3_OUT_LEN;
constexpr size_t kLanes = 16;  // pages side by side

// Of one level for all pages: input i is `stride` bytes after input i - 1.
void HashLevel(const uint8_t* data, size_t stride, size_t pages, size_t blocks,
               uint64_t counter, uint8_t flags, uint8_t start, uint8_t end,
               uint8_t* out) {
  const uint8_t* inputs[kLanes];
  for (size_t i = 0; i < pages; ++i) {
    inputs[i] = data + i * stride;
  }
  blake3_hash_many(inputs, pages, blocks, IV, counter, false, flags, start, end,
                   out);
}

// Up to kLanes pages: four chunks each, two parents, the root.
void HashSomePages(const uint8_t* data, size_t pages, uint8_t* out) {
  alignas(64) uint8_t chunks[kChunks][kLanes * kValue];
  for (size_t chunk = 0; chunk < kChunks; ++chunk) {
    HashLevel(data + chunk * BLAKE3_CHUNK_LEN, kPage, pages,
              BLAKE3_CHUNK_LEN / BLAKE3_BLOCK_LEN, chunk, 0, CHUNK_START,
              CHUNK_END, chunks[chunk]);
  }
  alignas(64) uint8_t nodes[kLanes][2][2 * kValue];
  for (size_t i = 0; i < pages; ++i) {
    for (size_t chunk = 0; chunk < kChunks; ++chunk) {
      std::copy_n(chunks[chunk] + i * kValue, kValue,
                  nodes[i][chunk / 2] + chunk % 2 * kValue);
    }
  }
  alignas(64) uint8_t parents[2][kLanes * kValue];
  for (size_t half = 0; half < 2; ++half) {
    HashLevel(nodes[0][half], sizeof nodes[0], pages, 1, 0, PARENT, 0, 0,
              parents[half]);
  }
  for (size_t i = 0; i < pages; ++i) {
    for (size_t half = 0; half < 2; ++half) {
      std::copy_n(parents[half] + i * kValue, kValue,
                  nodes[i][0] + half * kValue);
    }
  }
  HashLevel(nodes[0][0], sizeof nodes[0], pages, 1, 0, PARENT | ROOT, 0, 0,
            out);
}

}  // namespace

void HashPieces(HashAlgorithm algorithm, ByteView data, size_t size,
                std::span<uint8_t> out) {
  const size_t digest_size = DigestSize(algorithm);
  const size_t pieces = out.size() / digest_size;
  if (size == 0 || out.size() % digest_size != 0 ||
      data.size() < pieces * size) {
    std::abort();
  }
  if (algorithm == HashAlgorithm::kBlake3 && size == kPage) {
    DetectBlake3Cpu();
    for (size_t done = 0; done < pieces; done += kLanes) {
      HashSomePages(data.data() + done * kPage, std::min(kLanes, pieces - done),
                    out.data() + done * kValue);
    }
    return;
  }
  for (size_t i = 0; i < pieces; ++i) {
    const DigestBytes digest = Hash(algorithm, data.subspan(i * size, size));
    std::copy(digest.begin(), digest.end(), out.data() + i * digest_size);
  }
}

struct PieceTagger::State {
  EvpMacHandle mac;
  EvpMacCtxHandle context;
  SecretBytes key;
};

PieceTagger::PieceTagger(const SecretBytes& key)
    : state_(new State{
          EvpMacHandle(EVP_MAC_fetch(nullptr, "POLY1305", nullptr)), nullptr,
          SecretBytes(ToBytes(key.Reveal(SecretAccess())))}) {
  RequireOpenSsl(state_->mac != nullptr, "fetching Poly1305");
  state_->context.reset(EVP_MAC_CTX_new(state_->mac.get()));
  RequireOpenSsl(state_->context != nullptr &&
                     key.Reveal(SecretAccess()).size() == kKeySize,
                 "making Poly1305");
}

PieceTagger::~PieceTagger() = default;

void PieceTagger::Tag(ByteView piece, std::span<uint8_t, kTagSize> tag) {
  const ByteView key = state_->key.Reveal(SecretAccess());
  size_t size = 0;
  RequireOpenSsl(EVP_MAC_init(state_->context.get(), key.data(), key.size(),
                              nullptr) == 1 &&
                     EVP_MAC_update(state_->context.get(), piece.data(),
                                    piece.size()) == 1 &&
                     EVP_MAC_final(state_->context.get(), tag.data(), &size,
                                   kTagSize) == 1 &&
                     size == kTagSize,
                 "Poly1305");
}

}  // namespace vmattest
