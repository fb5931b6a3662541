#ifndef VMATTEST_DISK_NBD_BLOCK_SOURCE_H_
#define VMATTEST_DISK_NBD_BLOCK_SOURCE_H_

#include <chrono>
#include <memory>
#include <string>

#include "base/handles.h"
#include "disk/block_source.h"

struct nbd_handle;

namespace vmattest::disk {

// What an NBD server exports, through a socket that somebody else connected.
// The server is ours (qemu-nbd, QEMU), yet every reply is bounded and every
// wait ends. Structured replies and base:allocation are used where the server
// has them. Several requests are in flight when reading in order; no thread.
class NbdBlockSource final : public BlockSource {
 public:
  // Greets the server. UNAVAILABLE: it hung up, or has no such export;
  // DEADLINE_EXCEEDED: no answer within `timeout`, which is the limit for every
  // later answer too.
  static absl::StatusOr<std::unique_ptr<NbdBlockSource>> Connect(
      UniqueFd socket, const std::string& export_name,
      std::chrono::milliseconds timeout = std::chrono::seconds(30));
  NbdBlockSource(const NbdBlockSource&) = delete;
  NbdBlockSource& operator=(const NbdBlockSource&) = delete;
  ~NbdBlockSource() override;

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override;
  [[nodiscard]] absl::StatusOr<Extent> ExtentAt(uint64_t offset) override;
  [[nodiscard]] absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) override;
  [[nodiscard]] absl::Status ReadBlocks(uint64_t begin, uint64_t end,
                                        Blocks& blocks) override;

 private:
  struct Connection;
  NbdBlockSource(std::unique_ptr<Connection> connection, uint64_t size);

  std::unique_ptr<Connection> connection_;
  const uint64_t size_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_NBD_BLOCK_SOURCE_H_
