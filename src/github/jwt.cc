#include "github/jwt.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/text.h"

namespace mvr::github {
namespace {

constexpr int kLeastBits = 2048;
constexpr std::chrono::seconds kBeforeNow{60};

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
void free_bio(BIO* bio) { (void)BIO_free(bio); }
using Bio = std::unique_ptr<BIO, Freed<BIO, free_bio>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX, EVP_MD_CTX_free>>;

// Called for encrypted keys only. There is nobody to ask: without a callback OpenSSL would ask at
// the terminal.
int refuse_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* was_asked) {
  *static_cast<bool*>(was_asked) = true;
  return -1;
}

Error not_a_key(std::string_view pem) {
  if (pem.find("PUBLIC KEY") != std::string_view::npos ||
      pem.find("BEGIN CERTIFICATE") != std::string_view::npos) {
    return Error{Errc::invalid,
                 "this is the public part; the private key is what GitHub lets you download once "
                 "in the App's settings under \"Private keys\""};
  }
  if (pem.find("OPENSSH PRIVATE KEY") != std::string_view::npos) {
    return Error{Errc::invalid,
                 "this is a key of OpenSSH; take the App's key, as GitHub lets you download it in "
                 "the App's settings under \"Private keys\""};
  }
  return Error{Errc::invalid,
               "no whole private key in PEM form is in it: it is cut off or something else; make a "
               "new one in the App's settings under \"Private keys\" and copy all of its lines"};
}

// Without padding (RFC 7515 section 2).
std::string base64url(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(std::min(text.find('='), text.size()));
  return text;
}

std::int64_t seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

struct AppKey::State {
  Key key;
};

Result<AppKey> AppKey::parse(const Secret& pem) {
  const std::string_view text = pem.expose();
  const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) return fail(Errc::io, "out of memory");
  bool was_asked = false;
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &was_asked));
  ERR_clear_error();
  if (was_asked) {
    return fail(Errc::invalid,
                "the key has a passphrase, which mvrunner has nobody to ask for; take it off with: "
                "openssl pkey -in KEY -out NEW");
  }
  if (!key) return fail(not_a_key(text));
  if (EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) {
    return fail(Errc::invalid, "this is no RSA key, which is the only kind a GitHub App has");
  }
  if (EVP_PKEY_bits(key.get()) < kLeastBits) {
    return fail(Errc::invalid, "an RSA key of less than 2048 bits is none of a GitHub App");
  }
  return AppKey(std::make_shared<const State>(State{std::move(key)}));
}

Result<std::string> AppKey::sign(std::string_view bytes) const {
  const Digest digest(EVP_MD_CTX_new());
  EVP_PKEY* const key = state_->key.get();
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_size(key));
  std::vector<unsigned char> signature(size);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): OpenSSL takes unsigned bytes
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const bool is_signed =
      digest && EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
      EVP_DigestSign(digest.get(), signature.data(), &size, data, bytes.size()) == 1;
  ERR_clear_error();
  if (!is_signed) {
    return fail(Errc::invalid,
                "the App's private key does not sign: its numbers do not belong "
                "together; make a new one in the App's settings");
  }
  return std::string(signature.begin(), signature.begin() + static_cast<std::ptrdiff_t>(size));
}

bool operator==(const AppKey& a, const AppKey& b) {
  return EVP_PKEY_eq(a.state_->key.get(), b.state_->key.get()) == 1;
}

Result<Secret> app_jwt(const AppKey& key, const std::string& issuer, WallTime now) {
  using nlohmann::json;
  const json claims{
      {"iat", seconds_of(now - kBeforeNow)}, {"exp", seconds_of(now + kJwtLife)}, {"iss", issuer}};
  std::string text = base64url(R"({"alg":"RS256","typ":"JWT"})") + "." +
                     base64url(claims.dump(-1, ' ', false, json::error_handler_t::replace));
  TRY_ASSIGN(const std::string signature, key.sign(text));
  text += "." + base64url(signature);
  return Secret(std::move(text));
}

}  // namespace mvr::github
