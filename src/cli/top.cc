// mvrunner top: what the host does now, anew every two seconds.
#include "cli/top.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>
#include <termios.h>

#include "cli/client.h"

namespace mvr::cli {
namespace {

constexpr int kRenewMs = 2000;
constexpr std::size_t kPage = 10;

Screen screen_of(int terminal) {
  winsize size{};
  Screen screen;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): the system's interface
  if (::ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return screen;
  }
  screen.width = size.ws_col;
  screen.height = size.ws_row;
  return screen;
}

void on_resize(int /*number*/) {}

// The terminal as a full screen, and as it was again at the end.
class Terminal {
 public:
  Terminal() {
    is_input_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (is_input_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      raw.c_cc[VMIN] = 0;
      raw.c_cc[VTIME] = 0;
      (void)::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    // So that poll() ends early; ^C keeps its meaning by the flag ISIG, which stays.
    struct sigaction resize {};
    resize.sa_handler = on_resize;
    (void)::sigaction(SIGWINCH, &resize, nullptr);
    struct sigaction stop {};
    stop.sa_handler = [](int) { is_over_ = 1; };
    (void)::sigaction(SIGINT, &stop, nullptr);
    (void)::sigaction(SIGTERM, &stop, nullptr);
    std::cout << "\x1b[?1049h\x1b[?25l" << std::flush;
  }
  ~Terminal() {
    std::cout << "\x1b[?25h\x1b[?1049l" << std::flush;
    if (is_input_) (void)::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // One write, each line over the former one: nothing flickers.
  static void show(const std::vector<std::string>& lines) {
    std::string text = "\x1b[H";
    for (std::size_t n = 0; n < lines.size(); ++n) {
      text += lines[n] + "\x1b[K" + (n + 1 < lines.size() ? "\r\n" : "");
    }
    std::cout << text << "\x1b[J" << std::flush;
  }

  // What was typed within the limit; empty: nothing.
  static std::string keys(int limit_ms) {
    pollfd entry{STDIN_FILENO, POLLIN, 0};
    if (::poll(&entry, 1, limit_ms) <= 0) return {};
    std::array<char, 64> buffer{};
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count <= 0) is_over_ = 1;  // nobody is there any more
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
  }
  static bool is_over() { return is_over_ != 0; }

 private:
  static inline volatile std::sig_atomic_t is_over_ = 0;
  termios before_{};
  bool is_input_ = false;
};

struct View {
  TopOrder order = TopOrder::age;
  std::size_t first = 0;

  // False: the user has had enough.
  bool take(const std::string& keys) {
    if (keys == "q" || keys == "Q") return false;
    if (keys == "m") order = TopOrder::memory;
    if (keys == "c") order = TopOrder::cpu;
    if (keys == "a") order = TopOrder::age;
    if (keys == "\x1b[B" || keys == "j") ++first;
    if (keys == "\x1b[A" || keys == "k") first -= std::min<std::size_t>(first, 1);
    if (keys == "\x1b[6~" || keys == " ") first += kPage;
    if (keys == "\x1b[5~") first -= std::min(first, kPage);
    return true;
  }
};

Result<int> watch(const core::Config& config) {
  TRY_ASSIGN(auto status, ask(config, {{"op", "ps"}}));  // an error before the screen is taken
  const Terminal terminal;
  View view;
  for (;;) {
    const Screen screen = screen_of(STDOUT_FILENO);
    view.first = std::min(view.first, status.at("vms").size());
    Terminal::show(top_lines(status, screen, view.order, view.first));
    if (!view.take(Terminal::keys(kRenewMs)) || Terminal::is_over()) break;
    TRY_ASSIGN(status, ask(config, {{"op", "ps"}}));
  }
  return static_cast<int>(exit_ok);
}

Result<int> top(const Context& context) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  if (::isatty(STDOUT_FILENO) == 1 && ::isatty(STDIN_FILENO) == 1) return watch(config);
  TRY_ASSIGN(const auto status, ask(config, {{"op", "ps"}}));
  Screen screen;
  screen.width = 1000;
  screen.height = status.at("vms").size() + screen.height;
  auto lines = top_lines(status, screen, TopOrder::age, 0);
  lines.pop_back();  // keys are of no use here
  for (const auto& line : lines) std::cout << line << "\n";
  return static_cast<int>(exit_ok);
}

}  // namespace

void register_top(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("top", "the VMs and what they use, anew every two seconds");
  verb->callback([&context, &exit_code] {
    auto code = top(context);
    exit_code = code ? *code : report(code.error());
  });
}

}  // namespace mvr::cli
