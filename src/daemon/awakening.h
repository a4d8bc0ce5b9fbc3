// How a VM comes to be one of its own, where states are saved: it begins from a state that fits or,
// where there is none, boots; the first of its kind is saved when it has. Each is told who it is
// afterwards, so that all of them have booted in the same way.
//
// A guest is hostile as soon as a job has run in it. So a VM is saved at the first hello after a
// launch from its kernel by this daemon and at no other time: by then it has been told nothing, not
// even its name, and nobody else has had a say in it.
#pragma once

#include <functional>
#include <string>

#include "core/config.h"
#include "daemon/saved_states.h"
#include "sys/loop.h"
#include "vmm/machine.h"

namespace mvr::daemon {

class Awakening {
 public:
  struct Parts {
    sys::Loop& loop;
    const core::Config& config;
    SavedStates& states;
    std::string vm;  // its name, for the log
  };
  explicit Awakening(Parts parts);
  ~Awakening();
  Awakening(const Awakening&) = delete;
  Awakening& operator=(const Awakening&) = delete;

  // Before the launch of `spec`, which lacks only its words. `kind`: what besides the machine must
  // be the same; `identity`: the words that tell who the VM is; `others`: the rest of them. Decides
  // how it begins, and completes `spec`.
  struct Words {
    std::string identity;
    std::string others;
  };
  void plan(vmm::MachineSpec& spec, const vmm::Backend& backend, const std::string& kind,
            const Words& words);
  // After it: `late` is called when a restored VM has said nothing for too long.
  void launched(std::function<void()> late);
  // Of a restored VM that ended or is late: `spec` is to be launched again, from its kernel.
  void fall_back(vmm::MachineSpec& spec, const std::string& reason);
  // It is to be ended: there is no falling back any more.
  void give_up() { is_restoring_ = false; }
  // It has got its work, by which alone it is judged from now on.
  void settle() { is_restored_ = false; }
  // It failed before it had any: if it was restored, the next one is not to be.
  void failed(const std::string& reason);
  // The VM has said hello for the first time. Saves it where it is the one to be saved; then, at
  // once or later, calls `ready`: the VM may be told who it is. `monitor`: null while there is
  // none.
  void greeted(vmm::Monitor* monitor, const vmm::MachineSpec& spec, std::function<void()> ready);

  // Whether the VM is told who it is over the channel.
  [[nodiscard]] bool is_told() const { return is_told_; }
  // It began from a state, and has not said hello yet.
  [[nodiscard]] bool is_restoring() const { return is_restoring_; }

 private:
  Result<void> take_memory(vmm::MachineSpec& spec, const vmm::Backend& backend);
  Result<void> save(vmm::Monitor& monitor, const vmm::MachineSpec& spec,
                    std::function<void()> ready);
  void forget_state(const std::string& reason, const std::string& effect);
  void on_saved(const Result<void>& saved);
  void stop_saving(const Error& error);
  [[nodiscard]] Duration passed() const { return parts_.loop.now() - since_; }

  Parts parts_;
  std::string key_;  // of what it begins from or is saved as
  bool is_told_ = false;
  bool is_restoring_ = false;
  bool is_restored_ = false;
  bool is_saving_ = false;
  Fd memory_;  // of the guest, until it has been saved
  Instant since_{};
  sys::Timer late_;
};

}  // namespace mvr::daemon
