#include "keys.h"

#include <algorithm>
#include <memory>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/text.h"
#include "catch.h"

namespace mvr::test {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;

Key rsa(unsigned bits) { return {EVP_RSA_gen(bits), EVP_PKEY_free}; }

template <class Write>
std::string written(const Write& write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  REQUIRE(write(bio.get()) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pkcs1(const Key& key) {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key.get(), nullptr, nullptr, 0, nullptr,
                                                nullptr);
  });
}

const Key& first() {
  static const Key key = rsa(2048);
  return key;
}

KeyTexts make_texts() {
  EVP_PKEY* const key = first().get();
  std::string word = "secret";
  const auto encrypted = [&](auto write) {
    return written([&](BIO* bio) {
      return write(bio, key, EVP_aes_128_cbc(), nullptr, 0, nullptr, word.data());
    });
  };
  KeyTexts texts;
  texts.pkcs1 = pkcs1(first());
  texts.pkcs8 = written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  texts.encrypted =
      encrypted([](auto... arguments) { return PEM_write_bio_PKCS8PrivateKey(arguments...); });
  texts.pem_encrypted = encrypted(
      [](auto... arguments) { return PEM_write_bio_PrivateKey_traditional(arguments...); });
  texts.public_part = written([&](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key); });
  return texts;
}

}  // namespace

const KeyTexts& rsa_key() {
  static const KeyTexts texts = make_texts();
  return texts;
}

const std::string& other_rsa_key() {
  static const std::string text = pkcs1(rsa(2048));
  return text;
}

std::string small_rsa_key() { return pkcs1(rsa(1024)); }

std::string ec_key() {
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  return written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

bool verifies(const std::string& bytes, const std::string& signature) {
  const auto unsigned_of = [](const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(),
                                                                  EVP_MD_CTX_free);
  REQUIRE(EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, first().get()) == 1);
  return EVP_DigestVerify(digest.get(), unsigned_of(signature), signature.size(),
                          unsigned_of(bytes), bytes.size()) == 1;
}

std::string decode_base64url(std::string text) {
  REQUIRE(text.find_first_of("+/=") == std::string::npos);
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  const auto bytes = base64_decode(text);
  REQUIRE(bytes);
  return *bytes;
}

}  // namespace mvr::test
