#include "gate/session_store.h"

#include <functional>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/uuid.h"
#include "gate/kept_file.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "vmattest/gate-session/v1";

// False past the bound, or once the bytes ended.
bool ReadItems(ByteReader& reader, const std::function<void()>& read) {
  const uint32_t count = reader.U32();
  if (count > SessionStore::kMaxItems) {
    return false;
  }
  for (uint32_t i = 0; i < count && reader.ok(); ++i) {
    read();
  }
  return reader.ok();
}

void WriteIdentity(ByteWriter& writer, const FileIdentity& identity) {
  writer.U64(identity.device).U64(identity.inode);
  writer.U64(static_cast<uint64_t>(identity.ctime_ns));
  writer.U64(static_cast<uint64_t>(identity.mtime_ns)).U64(identity.size);
}

FileIdentity ReadIdentity(ByteReader& reader) {
  FileIdentity identity;
  identity.device = reader.U64();
  identity.inode = reader.U64();
  identity.ctime_ns = static_cast<int64_t>(reader.U64());
  identity.mtime_ns = static_cast<int64_t>(reader.U64());
  identity.size = reader.U64();
  return identity;
}

MeasuredFile ReadMeasured(ByteReader& reader) {
  MeasuredFile file;
  file.identity = ReadIdentity(reader);
  file.algorithm = static_cast<HashAlgorithm>(reader.U8());
  file.digest = SizedBytes(reader);
  return file;
}

bool ReadBody(ByteReader& reader, LaunchSession& session) {
  session.vm_name = SizedText(reader);
  session.prepare_xml = SizedText(reader);
  const uint8_t mode = reader.U8();
  session.mode = static_cast<reference::GateMode>(mode);
  const uint8_t flags = reader.U8();
  session.break_glass = (flags & 1) != 0;
  session.drifted = (flags & 2) != 0;
  session.granted = (flags & 4) != 0;
  session.isolated = (flags & 8) != 0;
  session.process.pid = static_cast<int64_t>(reader.U64());
  session.process.start_ticks = reader.U64();
  bool known = true;
  const bool leaves = ReadItems(reader, [&] {
    ConfigLeaf leaf;
    leaf.path = SizedText(reader);
    leaf.type = static_cast<LeafType>(reader.U8());
    leaf.value = SizedText(reader);
    known = known && vmattest::ToString(leaf.type) != "unknown";
    session.baseline.push_back(std::move(leaf));
  });
  const bool open = leaves && ReadItems(reader, [&] {
                      const uint64_t device = reader.U64();
                      session.open_files.emplace(device, reader.U64());
                    });
  const bool inputs =
      open && ReadItems(reader, [&] {
        std::string path = SizedText(reader);
        MeasuredFile file = ReadMeasured(reader);
        known = known && vmattest::ToString(file.algorithm) != "unknown";
        session.inputs.emplace(std::move(path), std::move(file));
      });
  return inputs && known && reader.AtEnd() && flags <= 15 &&
         mode <= static_cast<uint8_t>(reference::GateMode::kLearn) &&
         session.process.pid > 0;
}

}  // namespace

Bytes EncodeSession(const LaunchSession& session, std::string_view boot_id) {
  ByteWriter writer;
  writer.Sized(boot_id);
  writer.Sized(session.vm_name).Sized(session.prepare_xml);
  writer.U8(static_cast<uint8_t>(session.mode));
  writer.U8(static_cast<uint8_t>((session.break_glass ? 1 : 0) |
                                 (session.drifted ? 2 : 0) |
                                 (session.granted && !session.checked ? 4 : 0) |
                                 (session.isolated ? 8 : 0)));
  writer.U64(static_cast<uint64_t>(session.process.pid));
  writer.U64(session.process.start_ticks);
  writer.U32(static_cast<uint32_t>(session.baseline.size()));
  for (const ConfigLeaf& leaf : session.baseline) {
    writer.Sized(leaf.path).U8(static_cast<uint8_t>(leaf.type));
    writer.Sized(leaf.value);
  }
  writer.U32(static_cast<uint32_t>(session.open_files.size()));
  for (const auto& [device, inode] : session.open_files) {
    writer.U64(device).U64(inode);
  }
  writer.U32(static_cast<uint32_t>(session.inputs.size()));
  for (const auto& [path, file] : session.inputs) {
    writer.Sized(path);
    WriteIdentity(writer, file.identity);
    writer.U8(static_cast<uint8_t>(file.algorithm)).Sized(file.digest);
  }
  return FrameKept(kFormat, writer.bytes());
}

absl::StatusOr<LaunchSession> ParseSession(ByteView file,
                                           std::string_view boot_id) {
  ASSIGN_OR_RETURN(const Bytes content, OpenKept(file, kFormat));
  ByteReader reader(content);
  if (SizedText(reader) != boot_id) {
    return absl::NotFoundError("of another boot");
  }
  LaunchSession session;
  if (!ReadBody(reader, session)) {
    return absl::DataLossError("malformed");
  }
  session.running = true;
  return session;
}

SessionStore::SessionStore(fs::path folder, std::string boot_id, fs::path proc)
    : folder_(std::move(folder)),
      boot_id_(std::move(boot_id)),
      proc_(std::move(proc)) {}

std::map<std::string, LaunchSession> SessionStore::Load() {
  std::map<std::string, LaunchSession> sessions;
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entries(folder_, error);
       !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    files.push_back(entries->path());
  }
  for (const fs::path& path : files) {
    const absl::StatusOr<Bytes> bytes = ReadFile(path, kMaxFile);
    absl::StatusOr<LaunchSession> session =
        bytes.ok() ? ParseSession(*bytes, boot_id_) : bytes.status();
    const std::string uuid = path.filename();
    if (session.ok() && !ParseUuid(uuid).ok()) {
      session = absl::DataLossError("not named after a VM");
    }
    if (session.ok() && IsAlive(session->process, proc_)) {
      sessions.emplace(uuid, *std::move(session));
      continue;
    }
    if (!session.ok() && !absl::IsNotFound(session.status())) {
      log::Warning(
          "a running VM's approval was thrown away",
          {{"file", path.string()}, {"why", session.status().ToString()}});
    }
    fs::remove(path, error);
  }
  return sessions;
}

absl::Status SessionStore::Save(const std::string& vm_uuid,
                                const LaunchSession& session) {
  if (session.process.pid <= 0) {
    return absl::FailedPreconditionError("its process is not seen from here");
  }
  if (boot_id_.empty()) {
    return absl::FailedPreconditionError("this boot has no id");
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    return ErrnoStatus(error.value(), folder_.string());
  }
  // Another boot throws it away.
  return WriteFileForThisBoot(folder_ / vm_uuid,
                              EncodeSession(session, boot_id_), 0600);
}

void SessionStore::Erase(const std::string& vm_uuid) {
  std::error_code ignored;
  fs::remove(folder_ / vm_uuid, ignored);
}

}  // namespace vmattest::gate
