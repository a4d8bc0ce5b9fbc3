// mvrunner init: a first configuration, made of what GitHub needs to be told and of what this host
// has, and tried before it is written.
#include <unistd.h>

#include <array>
#include <iostream>

#include <CLI/CLI.hpp>
#include <termios.h>

#include "base/secret.h"
#include "base/text.h"
#include "cli/cli.h"
#include "config/load.h"
#include "config/starter.h"
#include "daemon/doctor.h"
#include "daemon/journal.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::cli {
namespace {

constexpr std::size_t kMaxToken = 4096;
constexpr mode_t kSecretMode = 0600;

struct InitOptions {
  std::string url;
  std::string token_file;
  bool token_stdin = false;
  std::string app_id;
  std::string app_key;
  std::int64_t installation = 0;
  std::uint32_t max_vms = 0;
  bool force = false;
  bool no_check = false;
};

bool is_terminal() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

// Switches the echo of the terminal off while it lives.
class Silence {
 public:
  Silence() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    is_set_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~Silence() {
    if (!is_set_) return;
    (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::cerr << "\n";
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  Silence(Silence&&) = delete;
  Silence& operator=(Silence&&) = delete;

 private:
  termios before_{};
  bool is_set_ = false;
};

// One line of standard input without what surrounds it.
Result<std::string> read_answer() {
  std::string line;
  if (!std::getline(std::cin, line)) return fail(Errc::cancelled, "no answer was given");
  const auto begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return std::string();
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

Result<std::string> ask_for(const std::string& question) {
  std::cerr << question << ": " << std::flush;
  return read_answer();
}

Result<std::string> ask_secretly(const std::string& question) {
  // Before the question: an answer that comes at once is neither shown nor thrown away.
  const Silence silence;
  std::cerr << question << ": " << std::flush;
  return read_answer();
}

Result<Secret> token_of(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const bool is_token = !text.empty() && text.size() <= kMaxToken &&
                        text.find_first_of(" \t\r\n") == std::string::npos;
  if (!is_token) return fail(Errc::invalid, "that is no token: it has to be one word");
  return Secret(std::move(text));
}

std::string beside(const std::string& config_path, const std::string& name) {
  const std::size_t slash = config_path.rfind('/');
  return (slash == std::string::npos ? "" : config_path.substr(0, slash + 1)) + name;
}

Result<std::string> absolute(const std::string& path) {
  if (path.starts_with("/")) return path;
  std::array<char, 4096> buffer{};
  if (::getcwd(buffer.data(), buffer.size()) == nullptr) return fail_errno(errno, "this directory");
  return std::string(buffer.data()) + "/" + path;
}

// What is asked for and not given becomes this.
Error missing(const std::string& what, const std::string& flags) {
  return Error{Errc::invalid, what + " is missing: give " + flags};
}

class Init {
 public:
  Init(const Context& context, InitOptions options)
      : context_(context), options_(std::move(options)) {}

  // Everything that can be wrong comes before the first file that stays.
  Result<void> run() {
    TRY_ASSIGN(config_path_, absolute(context_.config_path));
    if (sys::exists(config_path_) && !options_.force) {
      return fail(Errc::exists, config_path_ + " is there already: --force replaces it");
    }
    TRY(ask_target());
    TRY(ask_credentials());
    TRY(measure());
    TRY_ASSIGN(const std::string text, config::starter_yaml(starter_));
    TRY(sys::make_directories(beside(config_path_, ""), 0755));
    const std::string draft = token_path_ + ".new";
    if (!token_.empty())
      TRY(sys::write_file_atomic(draft, std::string(token_.expose()) + "\n", kSecretMode));
    auto written = try_and_write(text, draft);
    if (!written) (void)sys::remove_file(draft);  // the reason to tell is the first one
    return written;
  }

  void tell_next() const {
    const std::string config =
        context_.config_given ? " --config " + context_.config_path : std::string();
    std::cout << config_path_ << " is written. Next:\n"
              << "  mvrunner" << config << " kernel install\n"
              << "  /usr/share/mvrunner/images/debian-12/rootfs\n"
              << "  mvrunner" << config
              << " image build -t debian-12 /usr/share/mvrunner/images/debian-12\n"
              << "  mvrunner" << config << " runner update\n"
              << "  mvrunner" << config << " doctor\n"
              << "  systemctl enable --now mvrunner\n";
  }

 private:
  Result<void> ask_target() {
    if (options_.url.empty() && !is_terminal()) {
      return tl::unexpected(
          missing("what to serve", "--url https://github.com/OWNER[/REPOSITORY]"));
    }
    if (options_.url.empty()) {
      TRY_ASSIGN(options_.url,
                 ask_for("Address of the repository, organization or enterprise to serve"));
    }
    TRY_ASSIGN(starter_.target, config::parse_target(options_.url));
    return {};
  }

  Result<void> ask_credentials() {
    if (!options_.app_id.empty()) {
      core::AppSettings app;
      app.id = options_.app_id;
      app.installation = options_.installation;
      TRY_ASSIGN(app.key_file, absolute(options_.app_key));
      starter_.credentials.app = std::move(app);
      return {};
    }
    if (!options_.token_file.empty()) {
      TRY_ASSIGN(starter_.credentials.token_file, absolute(options_.token_file));
      return {};
    }
    return ask_token();
  }

  Result<void> ask_token() {
    if (!options_.token_stdin && !is_terminal()) {
      return tl::unexpected(missing(
          "a credential", "--token-file FILE, --token-stdin, or --app-id ID with --app-key FILE"));
    }
    const std::string question =
        "A token with \"Actions: read\" and \"Administration: write\" on "
        "repositories, or \"Self-hosted runners: write\" on the "
        "organization\n(it is not shown)";
    TRY_ASSIGN(std::string text, options_.token_stdin ? read_answer() : ask_secretly(question));
    TRY_ASSIGN(token_, token_of(std::move(text)));
    token_path_ = beside(config_path_, "token");
    if (sys::exists(token_path_) && !options_.force) {
      return fail(Errc::exists, token_path_ + " is there already: --force replaces it, " +
                                    "--token-file " + token_path_ + " takes it");
    }
    starter_.credentials.token_file = token_path_;
    return {};
  }

  Result<void> measure() {
    TRY_ASSIGN(const sys::HostFacts facts, sys::host_facts());
    hostname_ = facts.hostname;
    starter_.max_vms = options_.max_vms;
    starter_.room.memory = facts.memory;
    starter_.room.cpus = facts.cpus;
    // The state directory may not be there yet: it will be on the file system of its parent.
    std::string place = config::defaults(hostname_).state_dir;
    while (place.size() > 1 && !sys::exists(place))
      place.erase(std::max<std::size_t>(1, place.rfind('/')));
    TRY_ASSIGN(const sys::DiskSpace space, sys::disk_space(place));
    starter_.room.disk = space.free;
    return {};
  }

  Result<void> try_and_write(const std::string& text, const std::string& draft) {
    config::Loaded loaded = config::parse(text, config_path_, hostname_);
    if (!loaded.problems.empty()) {
      return fail(Errc::invalid, loaded.problems.front().to_text());
    }
    if (!options_.no_check) TRY(check(std::move(loaded.config), draft));
    if (!token_.empty()) TRY(sys::rename_durably(draft, token_path_));
    return sys::write_file_atomic(config_path_, text, 0644);
  }

  Result<void> check(core::Config config, const std::string& draft) {
    if (!token_.empty()) config.github.credentials.token_file = draft;
    bool failed = false;
    for (const auto& finding : daemon::check_github(config)) {
      // The release is installed by one of the next commands.
      if (finding.check == "runner release") continue;
      std::cout << daemon::verdict_name(finding.verdict) << "  " << finding.check << ": "
                << printable(finding.text, 500) << "\n";
      if (!finding.remedy.empty())
        std::cout << "      -> " << printable(finding.remedy, 500) << "\n";
      failed = failed || finding.verdict == daemon::Verdict::fail;
    }
    if (!failed) return {};
    return fail(Errc::denied,
                "GitHub does not accept this, nothing was written; --no-check skips "
                "the question");
  }

  const Context& context_;
  InitOptions options_;
  config::Starter starter_;
  std::string config_path_;
  std::string token_path_;
  std::string hostname_;
  Secret token_;
};

int init(const Context& context, const InitOptions& options) {
  (void)daemon::set_log_level("error");  // what is wrong is a finding
  Init work(context, options);
  if (auto done = work.run(); !done) {
    const int code = report(done.error());
    return done.error().code == Errc::invalid ? static_cast<int>(exit_usage) : code;
  }
  work.tell_next();
  return exit_ok;
}

}  // namespace

void register_init(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("init", "make a first configuration for this host");
  auto options = std::make_shared<InitOptions>();
  verb->add_option("--url", options->url,
                   "what to serve: https://github.com/OWNER, .../OWNER/REPOSITORY or "
                   ".../enterprises/NAME");
  auto* file = verb->add_option("--token-file", options->token_file, "a file that holds the token");
  auto* stdin_flag = verb->add_flag("--token-stdin", options->token_stdin,
                                    "read the token from standard input, and keep it");
  auto* id = verb->add_option("--app-id", options->app_id, "the client id or id of a GitHub App");
  auto* key = verb->add_option("--app-key", options->app_key, "the App's private key, a PEM file");
  auto* installation =
      verb->add_option("--installation", options->installation, "where the App is installed")
          ->check(CLI::PositiveNumber);
  verb->add_option("--max-vms", options->max_vms, "VMs at once; default: as many as fit")
      ->check(CLI::Range(1, 1000));
  verb->add_flag("--force", options->force, "replace files that are there already");
  verb->add_flag("--no-check", options->no_check, "do not ask GitHub");
  file->excludes(stdin_flag)->excludes(id);
  stdin_flag->excludes(id);
  id->needs(key);
  key->needs(id);
  installation->needs(id);
  verb->callback([&context, &exit_code, options] { exit_code = init(context, *options); });
}

}  // namespace mvr::cli
