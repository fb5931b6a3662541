#include "worker/disk_messages.h"

#include <string>

namespace vmattest::worker {

absl::StatusOr<HashAlgorithm> ToAlgorithm(v1::HashAlgorithm number) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    if (static_cast<int>(algorithm) == static_cast<int>(number)) {
      return algorithm;
    }
  }
  return absl::InvalidArgumentError("no such hash algorithm");
}

internal::WorkerReply ToReply(const inspection::DiskReport& report) {
  internal::WorkerReply reply;
  internal::WorkerReply::Disk& disk = *reply.mutable_disk();
  disk.set_size(report.size);
  if (report.guest_digest) {
    disk.set_guest_digest(report.guest_digest->data(),
                          report.guest_digest->size());
  }
  for (const ConfigLeaf& leaf : report.leaves) {
    v1::ConfigLeaf& added = *disk.add_leaves();
    added.set_path(leaf.path);
    added.set_type(std::string(ToString(leaf.type)));
    added.set_value(leaf.value);
  }
  for (const inspection::UnreadContent& content : report.unread) {
    internal::UnreadContent& added = *disk.add_unread();
    added.set_prefix(content.prefix);
    added.set_title(content.title);
    added.set_begin(content.begin);
    added.set_size(content.size);
  }
  return reply;
}

}  // namespace vmattest::worker
