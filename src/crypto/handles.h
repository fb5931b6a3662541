#ifndef VMATTEST_CRYPTO_HANDLES_H_
#define VMATTEST_CRYPTO_HANDLES_H_

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>

#include "base/handles.h"

// OpenSSL's objects as handles that free themselves.

namespace vmattest {

using BioHandle = std::unique_ptr<BIO, Closer<BIO_free_all>>;
using BignumHandle = std::unique_ptr<BIGNUM, Closer<BN_free>>;
using EcdsaSigHandle = std::unique_ptr<ECDSA_SIG, Closer<ECDSA_SIG_free>>;
using EvpCipherCtxHandle =
    std::unique_ptr<EVP_CIPHER_CTX, Closer<EVP_CIPHER_CTX_free>>;
using EvpKdfHandle = std::unique_ptr<EVP_KDF, Closer<EVP_KDF_free>>;
using EvpKdfCtxHandle = std::unique_ptr<EVP_KDF_CTX, Closer<EVP_KDF_CTX_free>>;
using EvpMacHandle = std::unique_ptr<EVP_MAC, Closer<EVP_MAC_free>>;
using EvpMacCtxHandle = std::unique_ptr<EVP_MAC_CTX, Closer<EVP_MAC_CTX_free>>;
using EvpMdHandle = std::unique_ptr<EVP_MD, Closer<EVP_MD_free>>;
using EvpMdCtxHandle = std::unique_ptr<EVP_MD_CTX, Closer<EVP_MD_CTX_free>>;
using EvpPkeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;
using EvpPkeyCtxHandle =
    std::unique_ptr<EVP_PKEY_CTX, Closer<EVP_PKEY_CTX_free>>;
using ParamHandle = std::unique_ptr<OSSL_PARAM, Closer<OSSL_PARAM_free>>;
using ParamBuilderHandle =
    std::unique_ptr<OSSL_PARAM_BLD, Closer<OSSL_PARAM_BLD_free>>;
using ExtendedKeyUsageHandle =
    std::unique_ptr<EXTENDED_KEY_USAGE, Closer<EXTENDED_KEY_USAGE_free>>;
using X509Handle = std::unique_ptr<X509, Closer<X509_free>>;
using X509StoreHandle = std::unique_ptr<X509_STORE, Closer<X509_STORE_free>>;
using X509StoreCtxHandle =
    std::unique_ptr<X509_STORE_CTX, Closer<X509_STORE_CTX_free>>;

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_HANDLES_H_
