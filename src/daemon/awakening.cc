#include "daemon/awakening.h"

#include <utility>

#include "base/text.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "sys/files.h"
#include "sys/memory_file.h"

namespace mvr::daemon {
namespace {

// A restored VM is there in a fraction of a second; on a host as busy as one can be it has been
// seen to take more than ten. A VMM that cannot restore ends by itself.
constexpr Duration kRestoreLimit{30'000};

std::string milliseconds(Duration time) { return std::to_string(time.count()); }

std::string with_words(std::string first, const std::string& others) {
  return others.empty() ? std::move(first) : std::move(first) + " " + others;
}

void boot_only(vmm::MachineSpec& spec) {
  spec.restore_from.clear();
  spec.may_be_saved = false;
  spec.memory_fd = -1;
}

}  // namespace

Awakening::Awakening(Parts parts) : parts_(std::move(parts)) {}

Awakening::~Awakening() {
  if (is_saving_) parts_.states.abandon(key_);
}

void Awakening::plan(vmm::MachineSpec& spec, const vmm::Backend& backend, const std::string& kind,
                     const Words& words) {
  since_ = parts_.loop.now();
  spec.command_line = with_words(words.identity, words.others);
  if (!parts_.config.saved_states.enabled) return;
  vmm::MachineSpec waiting = spec;
  waiting.command_line = with_words("mvr.waits", words.others);
  const auto machine = backend.state_key(waiting);
  if (!machine) {
    log(Level::info, "no_saved_states",
        with_error({{"vm", parts_.vm}, {"effect", "it boots"}}, machine.error()));
    return;
  }
  is_told_ = true;
  spec.command_line = waiting.command_line;
  key_ = saved_state_key(kind + "\n" + spec.command_line + "\n" + *machine);
  if (const auto state = parts_.states.find(key_)) spec.restore_from = *state;
  spec.may_be_saved = parts_.states.is_wanted(key_, since_);
  if (auto taken = take_memory(spec, backend); !taken) {
    if (spec.may_be_saved) {
      stop_saving(taken.error());
    } else {
      forget_state(taken.error().what, "this VM boots");
    }
    boot_only(spec);
  }
  is_restoring_ = !spec.restore_from.empty();
}

Result<void> Awakening::take_memory(vmm::MachineSpec& spec, const vmm::Backend& backend) {
  if (!backend.takes_memory()) return {};
  if (!spec.restore_from.empty()) {
    TRY_ASSIGN(spec.memory_fd, parts_.states.memory(key_));
  } else if (spec.may_be_saved) {
    TRY_ASSIGN(memory_, sys::make_empty_memory_file(parts_.vm, spec.memory));
    spec.memory_fd = memory_.get();
  }
  return {};
}

void Awakening::launched(std::function<void()> late) {
  if (!is_restoring_) return;
  late_ = parts_.loop.call_at(since_ + kRestoreLimit, std::move(late));
}

void Awakening::forget_state(const std::string& reason, const std::string& effect) {
  log(Level::warn, "saved_state_not_used",
      {{"vm", parts_.vm}, {"reason", reason}, {"effect", effect}});
  if (auto dropped = parts_.states.drop(key_); !dropped) {
    log(Level::warn, "saved_state_not_removed", with_error({{"vm", parts_.vm}}, dropped.error()));
  }
  parts_.states.pause(key_, parts_.loop.now());
}

void Awakening::fall_back(vmm::MachineSpec& spec, const std::string& reason) {
  forget_state(reason, "this VM boots");
  boot_only(spec);
  is_restoring_ = false;
  late_ = {};
  fail_point("restore given up");
}

void Awakening::failed(const std::string& reason) {
  if (std::exchange(is_restored_, false)) forget_state(reason, "the next VM boots");
}

void Awakening::greeted(vmm::Monitor* monitor, const vmm::MachineSpec& spec,
                        std::function<void()> ready) {
  late_ = {};
  if (std::exchange(is_restoring_, false)) {
    is_restored_ = true;
    log(Level::info, "vm_restored", {{"vm", parts_.vm}, {"ms", milliseconds(passed())}});
    return ready();
  }
  const Instant now = parts_.loop.now();
  const bool is_first =
      monitor != nullptr && spec.may_be_saved && parts_.states.is_wanted(key_, now);
  if (!is_first) {
    memory_ = {};
    return ready();
  }
  since_ = now;
  if (auto begun = save(*monitor, spec, ready); !begun) {
    stop_saving(begun.error());
    ready();
  }
}

Result<void> Awakening::save(vmm::Monitor& monitor, const vmm::MachineSpec& spec,
                             std::function<void()> ready) {
  const std::string& directory = parts_.config.state_dir;
  TRY_ASSIGN(const std::string draft, parts_.states.begin(key_));
  is_saving_ = true;
  fail_point("state begun");
  TRY_ASSIGN(const sys::DiskSpace space, sys::disk_space(directory));
  if (space.free.value < spec.memory.value + parts_.config.host.reserve_disk.value) {
    return fail(Errc::unavailable, "too little space is free in " + directory);
  }
  monitor.save(spec, draft, [this, ready = std::move(ready)](Result<void> saved) {
    on_saved(saved);
    ready();
  });
  return {};
}

void Awakening::on_saved(const Result<void>& saved) {
  memory_ = {};
  fail_point("state written");
  if (!saved) return stop_saving(saved.error());
  const auto size = parts_.states.publish(key_, parts_.config.saved_states.max_size);
  if (!size) return stop_saving(size.error());
  is_saving_ = false;
  fail_point("state published");
  log(Level::info, "state_saved",
      {{"vm", parts_.vm}, {"ms", milliseconds(passed())}, {"size", format_bytes(*size)}});
}

void Awakening::stop_saving(const Error& error) {
  is_saving_ = false;
  memory_ = {};
  parts_.states.abandon(key_);
  parts_.states.pause(key_, parts_.loop.now());
  log(Level::warn, "state_not_saved",
      with_error({{"vm", parts_.vm}, {"effect", "VMs of its kind boot"}}, error));
}

}  // namespace mvr::daemon
