#include "guest/ssh.h"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <time.h>  // NOLINT(modernize-deprecated-headers): gmtime_r is POSIX's

#include "base/text.h"
#include "guest/files.h"
#include "guest/system.h"

namespace mvr::guest {
namespace {

constexpr std::chrono::seconds kKeyGeneration{20};
constexpr std::size_t kMaxKeys = 64;
const std::string kDirectory = std::string(kRunDirectory) + "/ssh";
const std::string kHostKey = kDirectory + "/host_key";
const std::string kConfig = kDirectory + "/sshd_config";

// A key file per user, and nobody else has one: no list of allowed users to keep in step.
std::string config_text() {
  return "HostKey " + kHostKey + "\nAuthorizedKeysFile " + kDirectory +
         "/keys/%u\n"
         "PasswordAuthentication no\n"
         "KbdInteractiveAuthentication no\n"
         "PermitRootLogin prohibit-password\n"
         "UsePAM no\n"
         "UseDNS no\n"
         "PrintMotd no\n"
         "AcceptEnv LANG LC_*\n"
         "Subsystem sftp internal-sftp\n";
}

Result<std::string> program_of_openssh(const std::string& name) {
  if (auto path = find_program(name)) return *std::move(path);
  return fail(Errc::not_found,
              "the image has no " + name + ": add the package openssh-server to its Dockerfile");
}

// "ssh-ed25519 AAAA... comment" -> without the comment
std::string without_comment(const std::string& line) {
  const std::size_t end = line.find_first_of(" \n", line.find(' ') + 1);
  return line.substr(0, end);
}

// sshd also checks the time by itself, in case the agent is late. It reads the stamp in its own
// time zone, which is UTC here; the form with a "Z" is not known to older ones.
std::string key_line(const std::string& key, std::uint32_t lifetime_s) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  const time_t end = now.tv_sec + static_cast<time_t>(lifetime_s);
  tm parts{};
  ::gmtime_r(&end, &parts);
  std::array<char, 32> stamp{};
  const std::size_t length = std::strftime(stamp.data(), stamp.size(), "%Y%m%d%H%M%S", &parts);
  return "expiry-time=\"" + std::string(stamp.data(), length) + "\" " + without_comment(key) + "\n";
}
}  // namespace

Result<void> SshAccess::prepare() {
  TRY_ASSIGN(const std::string sshd, program_of_openssh("sshd"));
  TRY_ASSIGN(const std::string keygen, program_of_openssh("ssh-keygen"));
  TRY(make_directory("/run/sshd"));  // privilege separation of Debian's sshd
  TRY(make_directory(kDirectory + "/keys"));
  (void)::unlink(kHostKey.c_str());  // of a preparation that failed half-way
  TRY(run_tool({keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", kHostKey},
               kKeyGeneration));
  TRY_ASSIGN(const std::string public_key, read_file(kHostKey + ".pub"));
  TRY(replace_file(kConfig, config_text()));
  host_key_ = without_comment(public_key);
  sshd_ = sshd;
  return {};
}

Result<void> SshAccess::write_keys(const std::string& user) const {
  std::string content;
  for (const Key& key : keys_) {
    if (key.user == user) content += key.line;
  }
  return replace_file(kDirectory + "/keys/" + user, content);
}

Result<channel::KeyAuthorized> SshAccess::authorize(const channel::AuthorizeKey& request,
                                                    Time now) {
  if (keys_.size() >= kMaxKeys) return fail(Errc::busy, "ssh: too many keys are valid already");
  if (sshd_.empty()) TRY(context(prepare(), "ssh"));
  TRY(context(load_user(request.user), "ssh"));
  const auto shadow = read_file("/etc/shadow");
  if (shadow) {
    const auto unlocked = unlocked_shadow(*shadow, request.user);
    if (unlocked) TRY(write_file("/etc/shadow", *unlocked));
  }
  keys_.push_back(Key{request.user, key_line(request.public_key, request.lifetime_s),
                      now + std::chrono::seconds(request.lifetime_s)});
  TRY(write_keys(request.user));
  return channel::KeyAuthorized{host_key_};
}

void SshAccess::expire(Time now) {
  const auto is_over = [now](const Key& key) { return key.expires <= now; };
  const auto ended = std::stable_partition(keys_.begin(), keys_.end(), std::not_fn(is_over));
  const std::vector<Key> removed(ended, keys_.end());
  keys_.erase(ended, keys_.end());
  // A file that cannot be written keeps keys that sshd refuses by their time.
  for (const Key& key : removed) (void)write_keys(key.user);
}

std::optional<SshAccess::Time> SshAccess::next_expiry() const {
  const auto first = std::min_element(
      keys_.begin(), keys_.end(), [](const Key& a, const Key& b) { return a.expires < b.expires; });
  if (first == keys_.end()) return std::nullopt;
  return first->expires;
}

Result<SpawnSpec> SshAccess::server() const {
  if (keys_.empty()) return fail(Errc::denied, "ssh: no key is valid any more");
  SpawnSpec spec;
  spec.argv = {sshd_, "-i", "-f", kConfig};
  spec.user = root_user();
  spec.env = {"TZ=UTC", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  return spec;
}

}  // namespace mvr::guest
