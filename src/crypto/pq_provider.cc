#include "crypto/pq_provider.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/fips_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mutex.h"
#include "crypto/openssl_errors.h"

namespace vmattest {

struct PqProvider::Bridge {
  std::string path;
  std::string mac;  // "F2:81:..."
  OSSL_provider_init_fn* module_init = nullptr;

  // libcrypto's, before ours is put in its place.
  OSSL_FUNC_core_get_params_fn* core_get_params = nullptr;
  std::vector<OSSL_DISPATCH> core_functions;
  // The module's, likewise.
  OSSL_FUNC_provider_query_operation_fn* query = nullptr;
  std::vector<OSSL_DISPATCH> provider_functions;

  bool filtered = false;
  std::vector<OSSL_ALGORITHM> key_management;
  std::vector<OSSL_ALGORITHM> signatures;
  std::vector<std::vector<OSSL_DISPATCH>> signature_functions;

  OSSL_LIB_CTX* context = nullptr;
  OSSL_PROVIDER* module = nullptr;
  OSSL_PROVIDER* defaults = nullptr;
};

namespace {

using Bridge = PqProvider::Bridge;

constexpr char kProviderName[] = "vmattest-pq";
constexpr size_t kMaxConfiguration = size_t{64} << 10;

// Neither side passes a pointer of ours along, only its own: the core's handle
// and the module's context, which lead to the bridge.
Mutex registry_mutex;
std::map<const void*, Bridge*>& Registry() REQUIRES_LOCK(registry_mutex) {
  static auto* const registry = new std::map<const void*, Bridge*>;
  return *registry;
}

void Register(const void* handle, Bridge* bridge) {
  const MutexLock lock(registry_mutex);
  Registry()[handle] = bridge;
}

Bridge* Find(const void* handle) {
  const MutexLock lock(registry_mutex);
  const auto found = Registry().find(handle);
  return found == Registry().end() ? nullptr : found->second;
}

void Unregister(const Bridge* bridge) {
  const MutexLock lock(registry_mutex);
  std::erase_if(Registry(),
                [bridge](const auto& entry) { return entry.second == bridge; });
}

// Set while OSSL_PROVIDER_load() runs, which calls InitBridge on this thread.
thread_local Bridge* loading = nullptr;

// The module asks for what a configuration file would say.
int GetCoreParams(const OSSL_CORE_HANDLE* handle, OSSL_PARAM params[]) {
  const Bridge* bridge = Find(handle);
  if (bridge == nullptr || bridge->core_get_params(handle, params) == 0) {
    return 0;
  }
  const std::pair<const char*, const char*> settings[] = {
      {OSSL_PROV_PARAM_CORE_MODULE_FILENAME, bridge->path.c_str()},
      {OSSL_PROV_FIPS_PARAM_MODULE_MAC, bridge->mac.c_str()},
      {OSSL_PROV_FIPS_PARAM_INSTALL_VERSION, "1"},
      {OSSL_PROV_FIPS_PARAM_CONDITIONAL_ERRORS, "1"},
      {OSSL_PROV_FIPS_PARAM_SECURITY_CHECKS, "1"}};
  for (const auto& [name, value] : settings) {
    OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
    if (param != nullptr && OSSL_PARAM_set_utf8_ptr(param, value) != 1) {
      return 0;
    }
  }
  return 1;
}

bool IsOffered(const OSSL_ALGORITHM& algorithm) {
  const std::string_view names = algorithm.algorithm_names;
  for (const std::string_view name : {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}) {
    if (names == name || names.starts_with(std::string(name) + ":")) {
      return true;
    }
  }
  return false;
}

// SIGN and VERIFY have no *_INIT in the module, and 27 to 32 are the
// *_MESSAGE_* functions of OpenSSL 3.4: 3.0 refuses the former, later ones the
// former without the latter. The DIGEST_* functions do all that is needed.
bool IsPassedOn(int function) {
  constexpr int kFirstMessageFunction = 27;
  constexpr int kLastMessageFunction = 32;
  return function != OSSL_FUNC_SIGNATURE_SIGN &&
         function != OSSL_FUNC_SIGNATURE_VERIFY &&
         (function < kFirstMessageFunction || function > kLastMessageFunction);
}

std::vector<OSSL_ALGORITHM> SelectAlgorithms(const OSSL_ALGORITHM* all) {
  std::vector<OSSL_ALGORITHM> selected;
  for (; all != nullptr && all->algorithm_names != nullptr; ++all) {
    if (IsOffered(*all)) {
      selected.push_back(*all);
      selected.back().property_definition = PqProvider::kProperties;
    }
  }
  return selected;
}

void FilterAlgorithms(void* module_context, Bridge& bridge) {
  if (bridge.filtered) {
    return;
  }
  int no_cache = 0;
  bridge.key_management = SelectAlgorithms(
      bridge.query(module_context, OSSL_OP_KEYMGMT, &no_cache));
  bridge.signatures = SelectAlgorithms(
      bridge.query(module_context, OSSL_OP_SIGNATURE, &no_cache));
  for (OSSL_ALGORITHM& algorithm : bridge.signatures) {
    std::vector<OSSL_DISPATCH> functions;
    for (const OSSL_DISPATCH* one = algorithm.implementation;
         one->function_id != 0; ++one) {
      if (IsPassedOn(one->function_id)) {
        functions.push_back(*one);
      }
    }
    functions.push_back({0, nullptr});
    bridge.signature_functions.push_back(std::move(functions));
    algorithm.implementation = bridge.signature_functions.back().data();
  }
  bridge.key_management.push_back({});
  bridge.signatures.push_back({});
  bridge.filtered = true;
}

const OSSL_ALGORITHM* QueryOperation(void* module_context, int operation,
                                     int* no_cache) {
  const Bridge* bridge = Find(module_context);
  if (bridge == nullptr) {
    return nullptr;
  }
  *no_cache = 0;
  switch (operation) {
    case OSSL_OP_KEYMGMT:
      return bridge->key_management.data();
    case OSSL_OP_SIGNATURE:
      return bridge->signatures.data();
    default:
      return nullptr;
  }
}

// A copy of `table` with `function` in place of the entry `id`, whose old
// function is returned; null if it has none.
void (*ReplaceFunction(const OSSL_DISPATCH* table, int id, void (*function)(),
                       std::vector<OSSL_DISPATCH>& copy))() {
  void (*old)() = nullptr;
  for (; table->function_id != 0; ++table) {
    copy.push_back(*table);
    if (table->function_id == id) {
      old = table->function;
      copy.back().function = function;
    }
  }
  copy.push_back({0, nullptr});
  return old;
}

template <class Function>
void (*Untyped(Function* function))() {
  return reinterpret_cast<void (*)()>(function);
}

int InitBridge(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* in,
               const OSSL_DISPATCH** out, void** module_context) {
  Bridge* bridge = loading;
  if (bridge == nullptr) {
    return 0;
  }
  bridge->core_get_params = reinterpret_cast<OSSL_FUNC_core_get_params_fn*>(
      ReplaceFunction(in, OSSL_FUNC_CORE_GET_PARAMS, Untyped(GetCoreParams),
                      bridge->core_functions));
  if (bridge->core_get_params == nullptr) {
    return 0;
  }
  Register(handle, bridge);
  const OSSL_DISPATCH* offered = nullptr;
  if (bridge->module_init(handle, bridge->core_functions.data(), &offered,
                          module_context) != 1) {
    return 0;
  }
  bridge->query = reinterpret_cast<OSSL_FUNC_provider_query_operation_fn*>(
      ReplaceFunction(offered, OSSL_FUNC_PROVIDER_QUERY_OPERATION,
                      Untyped(QueryOperation), bridge->provider_functions));
  if (bridge->query == nullptr) {
    return 0;
  }
  FilterAlgorithms(*module_context, *bridge);
  Register(*module_context, bridge);
  *out = bridge->provider_functions.data();
  return 1;
}

absl::Status CheckOwner(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        fmt::format("{} belongs to user {}, must belong to root or to user {}",
                    path.string(), status.st_uid, geteuid()));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} is writable by its group or by everybody (mode {:04o})",
                    path.string(), status.st_mode & 07777u));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadMac(const std::filesystem::path& path) {
  constexpr std::string_view kBlank = " \t";
  ASSIGN_OR_RETURN(const Bytes content, ReadFile(path, kMaxConfiguration));
  std::string_view rest = AsText(content);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos ||
        line.substr(0, line.find_last_not_of(kBlank, equals - 1) + 1) !=
            OSSL_PROV_FIPS_PARAM_MODULE_MAC) {
      continue;
    }
    const size_t begin = line.find_first_not_of(kBlank, equals + 1);
    if (begin != std::string_view::npos) {
      return std::string(line.substr(begin));
    }
  }
  return absl::FailedPreconditionError(
      fmt::format("{} has no {}: make it with `openssl fipsinstall`",
                  path.string(), OSSL_PROV_FIPS_PARAM_MODULE_MAC));
}

absl::Status OpenModule(Bridge& bridge) {
  // Never unloaded: the module keeps state for threads that may still live.
  void* library =
      dlopen(bridge.path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return absl::FailedPreconditionError(fmt::format("loading: {}", dlerror()));
  }
  bridge.module_init = reinterpret_cast<OSSL_provider_init_fn*>(
      dlsym(library, "OSSL_provider_init"));
  if (bridge.module_init == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no OpenSSL provider", bridge.path));
  }
  return absl::OkStatus();
}

absl::Status StartModule(Bridge& bridge) {
  const OpenSslErrorScope errors;
  bridge.context = OSSL_LIB_CTX_new();
  RequireOpenSsl(bridge.context != nullptr, "OSSL_LIB_CTX_new");
  RequireOpenSsl(
      OSSL_PROVIDER_add_builtin(bridge.context, kProviderName, InitBridge) == 1,
      "OSSL_PROVIDER_add_builtin");
  loading = &bridge;
  bridge.module = OSSL_PROVIDER_load(bridge.context, kProviderName);
  loading = nullptr;
  if (bridge.module == nullptr) {
    return absl::DataLossError(
        fmt::format("{} failed its self-tests or is not the file that "
                    "fipsmodule.cnf is about: {}",
                    bridge.path, DrainOpenSslErrors()));
  }
  bridge.defaults = OSSL_PROVIDER_load(bridge.context, "default");
  RequireOpenSsl(bridge.defaults != nullptr, "loading the default provider");
  if (bridge.key_management.size() < 3 || bridge.signatures.size() < 3) {
    return absl::FailedPreconditionError(fmt::format(
        "{} has no ML-DSA: it is older than OpenSSL 3.5", bridge.path));
  }
  return absl::OkStatus();
}

}  // namespace

PqProvider::PqProvider(std::unique_ptr<Bridge> bridge)
    : bridge_(std::move(bridge)) {}

PqProvider::~PqProvider() {
  if (bridge_->defaults != nullptr) {
    OSSL_PROVIDER_unload(bridge_->defaults);
  }
  if (bridge_->module != nullptr) {
    OSSL_PROVIDER_unload(bridge_->module);
  }
  OSSL_LIB_CTX_free(bridge_->context);
  Unregister(bridge_.get());
}

absl::StatusOr<std::unique_ptr<PqProvider>> PqProvider::Load(
    const std::filesystem::path& path) {
  std::unique_ptr<PqProvider> provider(
      new PqProvider(std::make_unique<Bridge>()));
  Bridge& bridge = *provider->bridge_;
  std::error_code error;
  const std::filesystem::path module = std::filesystem::canonical(path, error);
  if (error) {
    return ErrnoStatus(error.value(), path.string());
  }
  const std::filesystem::path configuration =
      module.parent_path() / "fipsmodule.cnf";
  for (const std::filesystem::path& one :
       {module, configuration, module.parent_path()}) {
    RETURN_IF_ERROR(CheckOwner(one));
  }
  bridge.path = module.string();
  ASSIGN_OR_RETURN(bridge.mac, ReadMac(configuration));
  RETURN_IF_ERROR(OpenModule(bridge));
  RETURN_IF_ERROR(StartModule(bridge));
  return provider;
}

const std::string& PqProvider::path() const { return bridge_->path; }

OSSL_LIB_CTX* PqProvider::context() const { return bridge_->context; }

}  // namespace vmattest
