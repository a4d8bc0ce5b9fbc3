#include "daemon/post_mortem.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

namespace mvr::daemon {
namespace {

constexpr off_t kTail = 64 * 1024;
constexpr std::size_t kMaxText = 200;

// The rest of the last line that holds `marker`.
std::string rest_of_line(std::string_view console, std::string_view marker) {
  const std::size_t at = console.rfind(marker);
  if (at == std::string_view::npos) return {};
  console.remove_prefix(at);
  return printable(console.substr(0, console.find_first_of("\r\n")), kMaxText);
}

// What a VMM that gives up says: Firecracker and its jailer, or QEMU.
std::string complaint(std::string_view console) {
  std::string text = rest_of_line(console, "Error: ");
  return text.empty() ? rest_of_line(console, "qemu-system-") : text;
}

}  // namespace

Death post_mortem(const EndFacts& facts) {
  using core::EndCause;
  if (facts.oom_killed) {
    return {EndCause::host_oom, "the host's kernel killed the VMM for lack of memory"};
  }
  const std::string panic = rest_of_line(facts.console, "Kernel panic - not syncing");
  // "Out of memory: compulsory panic_on_oom ...", "System is deadlocked on memory".
  const bool lacks_memory = panic.find("ut of memory") != std::string::npos ||
                            panic.find("deadlocked on memory") != std::string::npos;
  if (lacks_memory) return {EndCause::guest_oom, panic};
  if (!panic.empty()) return {EndCause::panicked, panic};
  if (facts.reason == "guest-panic") return {EndCause::panicked, std::string(facts.reason)};
  const std::string exit = facts.exit ? facts.exit->to_text() : "";
  const bool has_crashed = facts.reason.empty() && facts.exit && !facts.exit->ok();
  if (has_crashed) {
    const std::string why = facts.exit->signal == 0 ? complaint(facts.console) : "";
    return {EndCause::vmm_crashed,
            "the VMM ended by itself: " + exit + (why.empty() ? "" : ": ") + why};
  }
  if (facts.reason.starts_with("vmm-error")) {
    return {EndCause::vmm_crashed, "the VMM ended by itself: " + std::string(facts.reason)};
  }
  return {EndCause::vm_died, facts.reason.empty() ? exit : std::string(facts.reason)};
}

core::EndCause cause_of_failure(std::string_view what) {
  const bool is_image = what.starts_with("mount /base") || what.starts_with("mount /root");
  return is_image ? core::EndCause::image_unreadable : core::EndCause::agent_failed;
}

std::string console_tail(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return {};
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size <= 0) return {};
  const off_t from = size > kTail ? size - kTail : 0;
  std::string text(static_cast<std::size_t>(size - from), '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

}  // namespace mvr::daemon
