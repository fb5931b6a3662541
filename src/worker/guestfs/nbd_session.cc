#include "worker/guestfs/nbd_session.h"

#include <utility>

namespace vmattest::worker {
namespace {

constexpr uint64_t kServerMagic = 0x4e42444d41474943;  // "NBDMAGIC"
constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
constexpr uint64_t kOptionReplyMagic = 0x3e889045565a9;
constexpr uint32_t kRequestMagic = 0x25609513;
constexpr uint32_t kSimpleReplyMagic = 0x67446698;

constexpr uint16_t kFixedNewstyle = 1;
constexpr uint16_t kNoZeroes = 2;
// NBD_FLAG_HAS_FLAGS, _READ_ONLY, _CAN_MULTI_CONN.
constexpr uint16_t kExportFlags = 1 | 2 | 256;

constexpr uint32_t kOptExportName = 1;
constexpr uint32_t kOptAbort = 2;
constexpr uint32_t kOptInfo = 6;
constexpr uint32_t kOptGo = 7;
constexpr uint32_t kRepAck = 1;
constexpr uint32_t kRepInfo = 3;
constexpr uint32_t kRepUnsupported = 0x80000001;
constexpr uint32_t kRepInvalid = 0x80000003;
constexpr uint32_t kRepUnknown = 0x80000006;

constexpr uint16_t kRead = 0;
constexpr uint16_t kWrite = 1;
constexpr uint16_t kDisconnect = 2;
constexpr uint16_t kFlush = 3;

constexpr uint32_t kNotPermitted = 1;  // NBD_EPERM
constexpr uint32_t kInputOutput = 5;
constexpr uint32_t kInvalid = 22;

constexpr size_t kOptionHeader = 16;
constexpr size_t kRequestSize = 28;
constexpr uint32_t kMaxRead = uint32_t{32} << 20;
constexpr size_t kLegacyPadding = 124;

void Append(Bytes& out, ByteWriter&& writer) {
  const Bytes bytes = std::move(writer).Take();
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void ReplyToOption(uint32_t option, uint32_t type, ByteView data, Bytes& out) {
  ByteWriter reply;
  reply.U64(kOptionReplyMagic).U32(option).U32(type).Sized(data);
  Append(out, std::move(reply));
}

void ReplyToRequest(uint32_t error, uint64_t cookie, Bytes& out) {
  ByteWriter reply;
  reply.U32(kSimpleReplyMagic).U32(error).U64(cookie);
  Append(out, std::move(reply));
}

}  // namespace

Bytes NbdSession::Greeting() {
  ByteWriter greeting;
  greeting.U64(kServerMagic).U64(kOptionMagic).U16(kFixedNewstyle | kNoZeroes);
  return std::move(greeting).Take();
}

const NbdExport* NbdSession::Find(std::string_view name) const {
  for (const NbdExport& candidate : exports_) {
    if (candidate.name == name) {
      return &candidate;
    }
  }
  return nullptr;
}

absl::StatusOr<size_t> NbdSession::Take(ByteView in, Bytes& out) {
  switch (phase_) {
    case Phase::kFlags:
      return TakeFlags(in);
    case Phase::kOptions:
      return TakeOption(in, out);
    case Phase::kTransmission:
      return TakeRequest(in, out);
  }
  return absl::InternalError("no such phase");
}

absl::StatusOr<size_t> NbdSession::TakeFlags(ByteView in) {
  constexpr size_t kSize = 4;
  if (in.size() < kSize) {
    return 0;
  }
  const uint32_t flags = ByteReader(in).U32();
  if ((flags & kFixedNewstyle) == 0 ||
      (flags & ~uint32_t{kFixedNewstyle | kNoZeroes}) != 0) {
    return absl::DataLossError("an NBD client with unknown flags");
  }
  no_zeroes_ = (flags & kNoZeroes) != 0;
  phase_ = Phase::kOptions;
  return kSize;
}

absl::StatusOr<size_t> NbdSession::TakeOption(ByteView in, Bytes& out) {
  if (in.size() < kOptionHeader) {
    return 0;
  }
  ByteReader reader(in);
  const uint64_t magic = reader.U64();
  const uint32_t option = reader.U32();
  const uint32_t size = reader.U32();
  if (magic != kOptionMagic || size > kMaxMessage - kOptionHeader) {
    return absl::DataLossError("no NBD option");
  }
  if (reader.remaining() < size) {
    return 0;
  }
  RETURN_IF_ERROR(Choose(option, reader.Raw(size), out));
  return kOptionHeader + size;
}

absl::Status NbdSession::Choose(uint32_t option, ByteView data, Bytes& out) {
  if (option == kOptAbort) {
    return absl::OutOfRangeError("the client leaves");
  }
  if (option == kOptExportName) {
    const NbdExport* found = Find(AsText(data));
    if (found == nullptr) {
      return absl::DataLossError("no such export");
    }
    ByteWriter reply;
    reply.U64(found->content->size()).U16(kExportFlags);
    reply.Raw(Bytes(no_zeroes_ ? 0 : kLegacyPadding));
    Append(out, std::move(reply));
    chosen_ = found->content;
    phase_ = Phase::kTransmission;
    return absl::OkStatus();
  }
  if (option != kOptInfo && option != kOptGo) {
    ReplyToOption(option, kRepUnsupported, {}, out);
    return absl::OkStatus();
  }
  ByteReader reader(data);
  const ByteView name = reader.Raw(reader.U32());
  const size_t wishes = reader.U16();
  (void)reader.Raw(wishes * 2);
  const NbdExport* found = Find(AsText(name));
  if (!reader.AtEnd() || found == nullptr) {
    ReplyToOption(option, reader.AtEnd() ? kRepUnknown : kRepInvalid, {}, out);
    return absl::OkStatus();
  }
  ByteWriter info;
  info.U16(0).U64(found->content->size()).U16(kExportFlags);
  ReplyToOption(option, kRepInfo, info.bytes(), out);
  ReplyToOption(option, kRepAck, {}, out);
  if (option == kOptGo) {
    chosen_ = found->content;
    phase_ = Phase::kTransmission;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> NbdSession::TakeRequest(ByteView in, Bytes& out) {
  if (in.size() < kRequestSize) {
    return 0;
  }
  ByteReader reader(in);
  const uint32_t magic = reader.U32();
  (void)reader.U16();
  const uint16_t type = reader.U16();
  const uint64_t cookie = reader.U64();
  const uint64_t offset = reader.U64();
  const uint32_t size = reader.U32();
  if (magic != kRequestMagic) {
    return absl::DataLossError("no NBD request");
  }
  switch (type) {
    case kRead:
      Read(cookie, offset, size, out);
      break;
    case kWrite:  // it was told not to; its data would have to be skipped
      return absl::DataLossError("an NBD client that writes");
    case kDisconnect:
      return absl::OutOfRangeError("the client leaves");
    case kFlush:
      ReplyToRequest(0, cookie, out);
      break;
    default:
      ReplyToRequest(kNotPermitted, cookie, out);
      break;
  }
  return kRequestSize;
}

void NbdSession::Read(uint64_t cookie, uint64_t offset, uint32_t size,
                      Bytes& out) {
  if (size > kMaxRead || !disk::CheckRange(*chosen_, offset, size).ok()) {
    ReplyToRequest(kInvalid, cookie, out);
    return;
  }
  const size_t before = out.size();
  ReplyToRequest(0, cookie, out);
  const size_t data = out.size();
  out.resize(data + size);
  const absl::Status status =
      chosen_->ReadAt(offset, std::span(out).subspan(data));
  if (!status.ok()) {
    if (failure_.ok()) {
      failure_ = status;
    }
    out.resize(before);
    ReplyToRequest(kInputOutput, cookie, out);
  }
}

}  // namespace vmattest::worker
