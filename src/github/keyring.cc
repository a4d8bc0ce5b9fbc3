#include "github/keyring.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "github/token.h"
#include "github/webhook.h"
#include "sys/files.h"

namespace mvr::github {
namespace {

constexpr std::size_t kMaxSecretFile = 64U << 10U;
constexpr const char* kDirectory = "CREDENTIALS_DIRECTORY";

// A secret others can read is none any more; saying so beats using it.
Result<void> check_mode(const Fd& fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno(errno, "stat of " + path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, path + " is not a regular file");
  if ((info.st_mode & 0077U) != 0) {
    return fail(Errc::denied, path + " is open to other users; run: chmod 600 " + path +
                                  " (and take it for known to them: a new token or key is safer)");
  }
  return {};
}

Result<Secret> read_all(const Fd& fd, const std::string& path) {
  std::string text(kMaxSecretFile + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading " + path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  if (size > kMaxSecretFile) return fail(Errc::too_large, path + " is longer than 64 KiB");
  return Secret(std::move(text));
}

Result<Secret> read_private(const std::string& path) {
  TRY_ASSIGN(const Fd fd, sys::open_read(path));
  TRY(check_mode(fd, path));
  return read_all(fd, path);
}

Result<Secret> read_credential(const std::string& name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment
  const char* directory = std::getenv(kDirectory);
  if (directory == nullptr) {
    return fail(Errc::not_found, "the systemd credential " + name +
                                     " is not there: mvrunner was not started by systemd with "
                                     "LoadCredential=" +
                                     name + ":/path/to/it");
  }
  const std::string path = std::string(directory) + "/" + name;
  auto fd = sys::open_read(path);
  if (!fd && fd.error().code == Errc::not_found) {
    return fail(Errc::not_found, "the systemd credential " + name +
                                     " is not there: the service needs LoadCredential=" + name +
                                     ":/path/to/it, and a restart");
  }
  if (!fd) return fail(std::move(fd.error()));
  return read_all(*fd, path);
}

Result<Secret> read_key(const core::AppSettings& app) {
  return app.key_file.empty() ? read_credential(app.key_credential) : read_private(app.key_file);
}

Result<Proof> load_proof(const core::Credentials& from) {
  Proof proof;
  if (from.app) {
    TRY_ASSIGN(const Secret pem, read_key(*from.app));
    TRY_ASSIGN(proof.key, context(AppKey::parse(pem), place_of(from)));
  } else if (!from.token_file.empty()) {
    TRY_ASSIGN(const Secret text, read_private(from.token_file));
    TRY_ASSIGN(proof.token, context(parse_token(text.expose()), place_of(from)));
  } else if (!from.token_env_file.empty()) {
    TRY_ASSIGN(const Secret text, read_private(from.token_env_file));
    TRY_ASSIGN(proof.token, context(parse_token_environment(text.expose()), place_of(from)));
  } else {
    TRY_ASSIGN(const Secret text, read_credential(from.token_credential));
    TRY_ASSIGN(proof.token, context(parse_token(text.expose()), place_of(from)));
  }
  return proof;
}

std::string credential_text(const std::string& name) { return "the systemd credential " + name; }

}  // namespace

Result<Keyring> load_keyring(const core::GithubSettings& settings) {
  Keyring keyring;
  for (const core::Scope& scope : settings.scopes) {
    const core::Credentials& from = settings.credentials_of(scope);
    if (from.empty()) {
      return fail(Errc::invalid, "the scope " + scope.id() + " has no credentials");
    }
    if (keyring.count(from) > 0) continue;
    TRY_ASSIGN(Proof proof, context(load_proof(from), "scope " + scope.id()));
    keyring.emplace(from, std::move(proof));
  }
  return keyring;
}

Result<Secret> read_secret(const std::string& file, const std::string& credential) {
  return file.empty() ? read_credential(credential) : read_private(file);
}

Result<Secret> load_webhook_secret(const core::WebhookSettings& settings) {
  if (settings.listen.empty()) return Secret();
  const bool is_file = !settings.secret_file.empty();
  TRY_ASSIGN(const Secret text, read_secret(settings.secret_file, settings.secret_credential));
  return context(parse_webhook_secret(text.expose()),
                 is_file ? settings.secret_file : credential_text(settings.secret_credential));
}

std::string place_of(const core::Credentials& credentials) {
  if (credentials.app) {
    const core::AppSettings& app = *credentials.app;
    return app.key_file.empty() ? credential_text(app.key_credential) : app.key_file;
  }
  if (!credentials.token_file.empty()) return credentials.token_file;
  if (!credentials.token_env_file.empty()) return credentials.token_env_file;
  return credential_text(credentials.token_credential);
}

}  // namespace mvr::github
