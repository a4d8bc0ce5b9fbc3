#include <cstdint>

#include "base/text.h"
#include "channel/message.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

// QEMU's key=value lists: a comma in a value is written twice.
std::string quoted(std::string_view value) {
  std::string text;
  for (const char c : value) {
    text += c;
    if (c == ',') text += ',';
  }
  return text;
}

class Arguments {
 public:
  explicit Arguments(const std::string& binary) : words_{binary} {}
  Arguments& add(const std::string& option) {
    words_.push_back(option);
    return *this;
  }
  Arguments& add(const std::string& option, const std::string& value) {
    words_.push_back(option);
    words_.push_back(value);
    return *this;
  }
  std::vector<std::string> take() { return std::move(words_); }

 private:
  std::vector<std::string> words_;
};

void add_machine(Arguments& arguments, const MachineSpec& spec) {
  // process= is what ps(1) and top(1) show; the kernel keeps 15 bytes of it.
  arguments.add("-name", "guest=" + quoted(spec.name) + ",process=" + quoted(spec.name));
  arguments.add("-M",
                "microvm,x-option-roms=off,acpi=on,pit=off,pic=off,rtc=on,isa-serial=on,"
                "graphics=off,usb=off,mem-merge=off,dump-guest-core=off");
  if (spec.accel == Accel::kvm) {
    arguments.add("-accel", "kvm").add("-cpu", "host");
  } else {
    // Unbounded, the cache of translated code takes up to 1 GiB for each VM.
    arguments.add("-accel", "tcg,thread=multi,tb-size=128").add("-cpu", "max");
  }
  arguments.add("-m", std::to_string(spec.memory.value >> 20U));
  arguments.add("-smp", std::to_string(spec.vcpus));
  arguments.add("-nodefaults").add("-no-user-config").add("-display", "none").add("-no-reboot");
}

std::string kernel_words(const MachineSpec& spec, std::uint64_t tsc_khz) {
  // reboot=t is a triple fault: with -no-reboot QEMU ends. There is no keyboard controller to
  // reset by; a panic reboots at once.
  std::string words = "console=ttyS0 quiet reboot=t panic=-1 random.trust_cpu=on cryptomgr.notests";
  if (spec.accel == Accel::tcg && tsc_khz != 0) {
    // The guest has no other clock to calibrate its TSC by than busy reads of the PIT, which fail
    // on a loaded host and then hang the boot. It is the host's TSC: we know its frequency.
    // Reliable: the watchdog would compare it with lost timer ticks and fall back to jiffies.
    words += " tsc_early_khz=" + std::to_string(tsc_khz) + " tsc=reliable";
  }
  if (!spec.command_line.empty()) words += " " + spec.command_line;
  return words;
}

void add_drive(Arguments& arguments, const Drive& drive) {
  const std::string name = quoted(drive.serial);
  std::string block = "driver=raw,node-name=" + name;
  if (drive.read_only) {
    // One file below many VMs; nobody writes it, so QEMU's own locks have nothing to protect.
    block += ",read-only=on,file.locking=off";
  } else {
    block += ",discard=unmap,detect-zeroes=unmap";
  }
  // A VM's disk dies with it: flushes to the host's disk would buy nothing.
  block +=
      ",cache.no-flush=on,file.driver=file,file.aio=threads,file.filename=" + quoted(drive.path);
  arguments.add("-blockdev", block);
  arguments.add("-device", "virtio-blk-device,drive=" + name + ",serial=" + name);
}

void add_network(Arguments& arguments, const MachineSpec& spec, int tap) {
  arguments.add("-netdev", "tap,id=net0,fd=" + std::to_string(tap) + ",vhost=off");
  arguments.add("-device", "virtio-net-device,netdev=net0,mac=" + quoted(spec.mac));
}

void add_sockets(Arguments& arguments, const QemuFds& fds) {
  const auto listener = [](const std::string& id, int fd) {
    return "socket,id=" + id + ",fd=" + std::to_string(fd) + ",server=on,wait=off";
  };
  arguments.add("-chardev", listener("monitor", fds.monitor));
  arguments.add("-mon", "chardev=monitor,mode=control");
  arguments.add("-add-fd", "fd=" + std::to_string(fds.console) + ",set=1");
  arguments.add("-chardev", "file,id=console,path=/dev/fdset/1,append=on");
  arguments.add("-serial", "chardev:console");
  arguments.add("-device", "virtio-serial-device,max_ports=2");
  arguments.add("-chardev", listener("agent", fds.agent));
  arguments.add("-device", "virtserialport,chardev=agent,name=" + std::string(channel::kPortName));
}

}  // namespace

std::vector<std::string> qemu_arguments(const MachineSpec& spec, const std::string& binary,
                                        const QemuFds& fds, std::uint64_t tsc_khz) {
  Arguments arguments(binary);
  add_machine(arguments, spec);
  arguments.add("-kernel", spec.kernel).add("-initrd", spec.initramfs);
  arguments.add("-append", kernel_words(spec, tsc_khz));
  add_sockets(arguments, fds);
  for (const Drive& drive : spec.drives) add_drive(arguments, drive);
  if (spec.tap_fd >= 0) add_network(arguments, spec, fds.tap);
  arguments.add("-object", "rng-builtin,id=rng0").add("-device", "virtio-rng-device,rng=rng0");
  if (!spec.restore_from.empty()) arguments.add("-incoming", "fd:" + std::to_string(fds.state));
  arguments.add("-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  return arguments.take();
}

Result<std::string> parse_qemu_version(std::string_view text) {
  constexpr std::string_view prefix = "QEMU emulator version ";
  const auto invalid = [&] {
    return fail(Errc::protocol, "not the version of QEMU: \"" + printable(text, 80) + "\"");
  };
  if (text.substr(0, prefix.size()) != prefix) return invalid();
  text.remove_prefix(prefix.size());
  const std::string version(text.substr(0, text.find_first_not_of("0123456789.")));
  const auto parts = split(version, '.');
  if (parts.size() < 2) return invalid();
  for (const std::string_view part : parts) {
    const auto number = parse_u64(part);
    if (!number || *number > 9999) return invalid();
  }
  return version;
}

}  // namespace mvr::vmm
