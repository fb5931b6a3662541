#ifndef VMATTEST_CRYPTO_EC_IMPORT_H_
#define VMATTEST_CRYPTO_EC_IMPORT_H_

#include "crypto/ecdsa.h"
#include "crypto/handles.h"

namespace vmattest {

// The key as OpenSSL's object; null for what is no point of the curve. Callable
// from any thread; may leave reasons in the thread's error queue.
EvpPkeyHandle ImportEcKey(const EcPublicKey& key);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_EC_IMPORT_H_
