#ifndef VMATTEST_RPC_TLS_FILES_H_
#define VMATTEST_RPC_TLS_FILES_H_

#include <filesystem>

#include "base/status.h"

namespace vmattest::rpc {

struct TlsFiles {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path client_ca;
};

// Whether TLS can work with them, which gRPC itself would only say in its own
// log: all readable PEM, the key belongs to the certificate, the certificate
// is in force. NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT name the file.
absl::Status CheckTlsFiles(const TlsFiles& files);

// TLS 1.3 only. gRPC 1.51 has no setting for it; with a TLS 1.2 cipher list
// that cannot be negotiated without a pre-shared key nothing below 1.3 works.
// Call before anything of gRPC; changes the environment of the process.
void DemandTls13();

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_TLS_FILES_H_
