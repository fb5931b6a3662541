#ifndef VMATTEST_DISK_EXT_CHANNEL_H_
#define VMATTEST_DISK_EXT_CHANNEL_H_

#include "disk/block_source.h"
#include "disk/handles.h"

namespace vmattest::disk {

// libext2fs reading from a BlockSource; writing is refused. One thread.
class ExtChannel {
 public:
  explicit ExtChannel(BlockSource& source) : source_(source) {}
  ExtChannel(const ExtChannel&) = delete;
  ExtChannel& operator=(const ExtChannel&) = delete;

  // The channel must outlive the handle.
  absl::StatusOr<ExtFilesystemHandle> OpenFilesystem();

  // What libext2fs meant by `code`: the error of the source if there was one
  // since the last call, else DATA_LOSS with libext2fs's own words.
  absl::Status ToStatus(errcode_t code, std::string_view what);

 private:
  friend struct ExtChannelCalls;

  BlockSource& source_;
  absl::Status failure_;
};

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_EXT_CHANNEL_H_
