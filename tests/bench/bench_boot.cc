// Boots kernel + initramfs to the agent's hello through the QEMU backend, without the daemon:
// what a VM costs at the least. Prints one JSON object.
//
// With --restore yes the VMs begin from the state of one that booted, and was saved at its hello.
//
//   bench_boot --state DIR --agent FILE [--runs N] [--parallel N] [--accel tcg|kvm]
//              [--restore yes] [--pause SECONDS]
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <stdlib.h>

#include "base/text.h"
#include "channel/message.h"
#include "image/initramfs.h"
#include "sys/files.h"
#include "sys/loop.h"
#include "sys/memory_file.h"
#include "sys/unix_socket.h"
#include "vmm/qemu.h"

namespace mvr {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Options {
  std::string state;
  std::string agent;
  std::string kernel = "default";
  std::uint64_t runs = 7;
  std::uint64_t parallel = 1;
  vmm::Accel accel = vmm::Accel::tcg;
  bool restore = false;
  // Before each run: by then the host has taken back, and must clear anew, what the one before had.
  std::uint64_t pause_s = 0;
};

struct Times {
  double launch_ms = 0;        // on the host, until the VMM's exec
  double hello_ms = 0;         // from the same start
  std::uint64_t guest_ms = 0;  // the guest's own clock at hello
  std::uint64_t resident_kib = 0;
};

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mvr-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    if (!path_.empty()) (void)sys::remove_tree(path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::uint64_t resident_kib(pid_t pid) {
  const auto text = sys::read_file("/proc/" + std::to_string(pid) + "/status");
  if (!text) return 0;
  for (const std::string_view line : split(*text, '\n')) {
    if (line.substr(0, 6) != "VmRSS:") continue;
    const auto first = line.find_first_of("0123456789");
    const auto last = line.find(" kB");
    if (first == std::string_view::npos || last == std::string_view::npos) return 0;
    return parse_u64(line.substr(first, last - first)).value_or(0);
  }
  return 0;
}

// One VM from launch to hello. The process ends with the object.
class Boot {
 public:
  Boot(sys::Loop& loop, vmm::MachineSpec spec) : loop_(loop), spec_(std::move(spec)) {}
  Boot(const Boot&) = delete;
  Boot& operator=(const Boot&) = delete;
  ~Boot() {
    if (!process_) return;
    (void)process_.signal(SIGKILL);
    (void)process_.wait(Duration(10'000));
  }

  Result<void> start(vmm::Backend& backend) {
    start_ = Clock::now();
    TRY_ASSIGN(process_, backend.launch(spec_));
    times_.launch_ms = milliseconds_since(start_);
    TRY_ASSIGN(socket_, sys::connect_unix(spec_.agent_socket));
    const std::string sync = channel::encode(channel::ToAgent{channel::Sync{}});
    if (::send(socket_.get(), sync.data(), sync.size(), MSG_NOSIGNAL) < 0) {
      return fail(Errc::io, "the VMM ended at once");
    }
    TRY_ASSIGN(watch_, loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); }));
    if (spec_.restore_from.empty()) return {};
    TRY_ASSIGN(monitor_, backend.attach(loop_, spec_.monitor_socket));
    monitor_->restore(spec_);
    return {};
  }
  [[nodiscard]] bool is_done() const { return done_; }
  [[nodiscard]] const Times& times() const { return times_; }

 private:
  void receive() {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0 || !deframer_.push({buffer.data(), static_cast<std::size_t>(got)})) {
      watch_ = {};
      return;
    }
    while (const auto record = deframer_.pop()) {
      const auto message = channel::decode_from_agent(*record);
      if (!message || !std::holds_alternative<channel::Hello>(*message)) continue;
      times_.hello_ms = milliseconds_since(start_);
      times_.guest_ms = std::get<channel::Hello>(*message).boot_ms;
      times_.resident_kib = resident_kib(process_.pid());
      done_ = true;
      watch_ = {};
    }
  }

  sys::Loop& loop_;
  vmm::MachineSpec spec_;
  sys::Process process_;
  std::unique_ptr<vmm::Monitor> monitor_;
  Fd socket_;
  sys::Watch watch_;
  channel::Deframer deframer_;
  Clock::time_point start_;
  Times times_;
  bool done_ = false;
};

// `options.parallel` VMs at once.
Result<std::vector<Times>> boot_once(vmm::Backend& backend, const Options& options,
                                     const vmm::MachineSpec& pattern) {
  constexpr Duration kLimit{120'000};
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  const TempDir directory;
  std::vector<std::unique_ptr<Boot>> boots;
  for (std::uint64_t i = 0; i < options.parallel; ++i) {
    vmm::MachineSpec spec = pattern;
    const std::string prefix = directory.path() + "/" + std::to_string(i);
    spec.console = prefix + ".log";
    spec.agent_socket = prefix + ".agent";
    spec.monitor_socket = prefix + ".monitor";
    boots.push_back(std::make_unique<Boot>(*loop, std::move(spec)));
    TRY(boots.back()->start(backend));
  }
  std::vector<Times> all;
  const Instant deadline = loop->now() + kLimit;
  for (const auto& boot : boots) {
    while (!boot->is_done()) {
      if (loop->now() > deadline) return fail(Errc::timed_out, "no hello from a VM");
      TRY(loop->run_once(Duration(1'000)));
    }
    all.push_back(boot->times());
  }
  return all;
}

// Boots one as `pattern` says and leaves its state in `directory`.
Result<void> save_one(vmm::Backend& backend, vmm::MachineSpec spec, const TempDir& work,
                      const std::string& directory) {
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  spec.console = work.path() + "/console";
  spec.agent_socket = work.path() + "/agent";
  spec.monitor_socket = work.path() + "/monitor";
  spec.may_be_saved = true;
  TRY_ASSIGN(const Fd memory, sys::make_empty_memory_file(spec.name, spec.memory));
  spec.memory_fd = memory.get();
  Boot boot(*loop, spec);
  TRY(boot.start(backend));
  TRY_ASSIGN(const auto monitor, backend.attach(*loop, spec.monitor_socket));
  while (!boot.is_done()) TRY(loop->run_once(Duration(60'000)));
  std::optional<Result<void>> saved;
  monitor->save(spec, directory, [&saved](Result<void> outcome) { saved = std::move(outcome); });
  while (!saved) TRY(loop->run_once(Duration(1'000)));
  return *saved;
}

Result<nlohmann::json> measure(const Options& options) {
  TRY_ASSIGN(const image::Kernel kernel, image::KernelStore(options.state).find(options.kernel));
  vmm::MachineSpec pattern;
  pattern.name = "mvr-bench";
  pattern.kernel = kernel.path;
  TRY_ASSIGN(pattern.initramfs, image::make_initramfs(options.state, kernel, options.agent));
  pattern.memory = mib(512);
  pattern.accel = options.accel;
  TRY_ASSIGN(const auto backend, vmm::make_qemu("qemu-system-x86_64"));
  const TempDir work;
  Fd memory;
  if (options.restore) {
    const std::string directory = work.path() + "/state";
    TRY(sys::make_directories(directory, 0700));
    pattern.command_line = "mvr.waits";
    TRY(save_one(*backend, pattern, work, directory));
    pattern.restore_from = directory;
    TRY_ASSIGN(memory,
               sys::copy_to_memory_file("saved", directory + std::string(vmm::kSavedMemory)));
    pattern.memory_fd = memory.get();
  }
  // The first boot warms the page cache and measures the TSC.
  TRY(boot_once(*backend, options, pattern));
  nlohmann::json result{{"kernel", kernel.name},
                        {"vmm", std::string(backend->name()) + " " + backend->version()},
                        {"accel", std::string(vmm::accel_name(options.accel))},
                        {"parallel", options.parallel}};
  for (std::uint64_t run = 0; run < options.runs; ++run) {
    std::this_thread::sleep_for(std::chrono::seconds(options.pause_s));
    TRY_ASSIGN(const std::vector<Times> all, boot_once(*backend, options, pattern));
    for (const Times& times : all) {
      result["launch_ms"].push_back(times.launch_ms);
      result["hello_ms"].push_back(times.hello_ms);
      result["guest_ms"].push_back(times.guest_ms);
      result["resident_kib"].push_back(times.resident_kib);
    }
  }
  return result;
}

Result<Options> parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    const std::string& value = words[i + 1];
    if (words[i] == "--state") {
      options.state = value;
    } else if (words[i] == "--agent") {
      options.agent = value;
    } else if (words[i] == "--kernel") {
      options.kernel = value;
    } else if (words[i] == "--runs") {
      TRY_ASSIGN(options.runs, parse_u64(value));
    } else if (words[i] == "--parallel") {
      TRY_ASSIGN(options.parallel, parse_u64(value));
    } else if (words[i] == "--accel" && (value == "kvm" || value == "tcg")) {
      options.accel = value == "kvm" ? vmm::Accel::kvm : vmm::Accel::tcg;
    } else if (words[i] == "--pause") {
      TRY_ASSIGN(options.pause_s, parse_u64(value));
    } else if (words[i] == "--restore" && (value == "yes" || value == "no")) {
      options.restore = value == "yes";
    } else {
      return fail(Errc::invalid, words[i] + " " + value + ": not known");
    }
  }
  if (options.state.empty() || options.agent.empty()) {
    return fail(Errc::invalid, "--state DIR and --agent FILE are needed");
  }
  return options;
}

}  // namespace
}  // namespace mvr

int main(int argc, char** argv) {
  const auto options = mvr::parse({argv, argv + argc});
  const auto result =
      options ? mvr::measure(*options) : mvr::Result<nlohmann::json>(mvr::fail(options.error()));
  if (!result) {
    std::cerr << "bench_boot: " << result.error().what << "\n";
    return 1;
  }
  std::cout << result->dump() << "\n";
  return 0;
}
