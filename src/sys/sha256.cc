#include "sys/sha256.h"

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/text.h"

namespace mvr::sys {
namespace {

EVP_MD_CTX* of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

// No OpenSSL is without SHA-256, so that a failure is no memory.
void start(void* context) {
  MVR_ASSERT(EVP_DigestInit_ex(of(context), EVP_sha256(), nullptr) == 1);
}

}  // namespace

void Sha256::Free::operator()(void* context) const { ::EVP_MD_CTX_free(of(context)); }

Sha256::Sha256() : context_(::EVP_MD_CTX_new()) {
  MVR_ASSERT(context_ != nullptr);
  start(context_.get());
}

void Sha256::add(std::string_view data) {
  MVR_ASSERT(EVP_DigestUpdate(of(context_.get()), data.data(), data.size()) == 1);
}

void Sha256::add_number(std::uint64_t value) {
  std::array<char, 8> bytes{};
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xffU);
  add({bytes.data(), bytes.size()});
}

Sha256::Sum Sha256::take() {
  Sum sum{};
  unsigned length = 0;
  MVR_ASSERT(EVP_DigestFinal_ex(of(context_.get()), sum.data(), &length) == 1);
  MVR_ASSERT(length == sum.size());
  start(context_.get());
  return sum;
}

std::string Sha256::take_hex() { return hex(take()); }

}  // namespace mvr::sys
