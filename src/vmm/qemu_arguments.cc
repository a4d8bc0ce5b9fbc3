#include <algorithm>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "channel/message.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

// QEMU's key=value lists: a comma in a value is written twice.
std::string escaped(std::string_view value) {
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

// AMD's way to tell threads of a core has to be asked for, and emulation does not have it.
std::string cpu_model(const MachineSpec& spec, const QemuHost& host) {
  if (spec.accel == Accel::tcg) return spec.smt ? "max,vendor=GenuineIntel" : "max";
  return spec.smt && host.is_amd ? "host,topoext=on" : "host";
}

void add_machine(Arguments& arguments, const MachineSpec& spec, const QemuFds& fds,
                 const QemuHost& host) {
  // process= is what ps(1) and top(1) show; the kernel keeps 15 bytes of it.
  arguments.add("-name", "guest=" + escaped(spec.name) + ",process=" + escaped(spec.name));
  std::string machine =
      "microvm,x-option-roms=off,acpi=on,pit=off,pic=off,rtc=on,isa-serial=on,"
      "graphics=off,usb=off,mem-merge=off,dump-guest-core=off";
  // Transparent ones QEMU asks the kernel for in any case.
  const bool is_reserved = spec.huge_pages == HugePages::reserved;
  if (is_reserved || spec.memory_fd >= 0) machine += ",memory-backend=ram";
  arguments.add("-M", machine);
  if (spec.accel == Accel::kvm) {
    arguments.add("-accel", "kvm");
  } else {
    // Unbounded, the cache of translated code takes up to 1 GiB for each VM.
    arguments.add("-accel", "tcg,thread=multi,tb-size=128");
  }
  arguments.add("-cpu", cpu_model(spec, host));
  const std::string memory = std::to_string(spec.memory.value >> 20U);
  if (is_reserved) {
    arguments.add("-object", "memory-backend-memfd,id=ram,size=" + memory +
                                 "M,share=on,hugetlb=on,hugetlbsize=2M");
  } else if (spec.memory_fd >= 0) {
    // A saved one must be shared, for QEMU to leave it out of its state; what is not becomes ours
    // page by page, where it is written to.
    const std::string share = spec.restore_from.empty() ? "on" : "off";
    arguments.add("-object", "memory-backend-file,id=ram,size=" + memory + "M,share=" + share +
                                 ",mem-path=/proc/self/fd/" + std::to_string(fds.memory));
  }
  arguments.add("-m", memory);
  arguments.add("-smp", std::to_string(spec.vcpus) + (spec.smt ? ",threads=2" : ""));
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

// What passes in a second; up to as much again at once, after a pause.
std::uint64_t per_second(const TokenBucket& bucket) {
  const auto refill = static_cast<std::uint64_t>(std::max<std::int64_t>(bucket.refill.count(), 1));
  return std::max<std::uint64_t>(bucket.size * 1'000 / refill, 1);
}

// The limits of a drive, as a node above it.
void add_throttle(Arguments& arguments, const Drive& drive) {
  nlohmann::json limits;
  if (drive.rate.bytes) limits["bps-total"] = per_second(*drive.rate.bytes);
  if (drive.rate.operations) limits["iops-total"] = per_second(*drive.rate.operations);
  const std::string group = "rate-" + drive.serial;
  const nlohmann::json object{{"qom-type", "throttle-group"}, {"id", group}, {"limits", limits}};
  arguments.add("-object", object.dump());
  arguments.add("-blockdev", "driver=throttle,node-name=" + escaped(drive.serial + "-limited") +
                                 ",throttle-group=" + escaped(group) +
                                 ",file=" + escaped(drive.serial));
}

void add_drive(Arguments& arguments, const Drive& drive) {
  const std::string name = escaped(drive.serial);
  std::string block = "driver=raw,node-name=" + name;
  if (drive.read_only) {
    // One file below many VMs; nobody writes it, so QEMU's own locks have nothing to protect.
    block += ",read-only=on,file.locking=off";
  } else {
    block += ",discard=unmap,detect-zeroes=unmap";
  }
  // A VM's disk dies with it: flushes to the host's disk would buy nothing.
  block +=
      ",cache.no-flush=on,file.driver=file,file.aio=threads,file.filename=" + escaped(drive.path);
  arguments.add("-blockdev", block);
  const bool is_limited = drive.rate.bytes || drive.rate.operations;
  if (is_limited) add_throttle(arguments, drive);
  arguments.add("-device", "virtio-blk-device,drive=" + name + (is_limited ? "-limited" : "") +
                               ",serial=" + name);
}

void add_network(Arguments& arguments, const MachineSpec& spec, int tap) {
  arguments.add("-netdev", "tap,id=net0,fd=" + std::to_string(tap) + ",vhost=off");
  arguments.add("-device", "virtio-net-device,netdev=net0,mac=" + escaped(spec.mac));
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
                                        const QemuFds& fds, const QemuHost& host) {
  Arguments arguments(binary);
  add_machine(arguments, spec, fds, host);
  arguments.add("-kernel", spec.kernel).add("-initrd", spec.initramfs);
  arguments.add("-append", kernel_words(spec, host.tsc_khz));
  add_sockets(arguments, fds);
  for (const Drive& drive : spec.drives) add_drive(arguments, drive);
  if (spec.tap_fd >= 0) add_network(arguments, spec, fds.tap);
  arguments.add("-object", "rng-builtin,id=rng0").add("-device", "virtio-rng-device,rng=rng0");
  // Deferred: its monitor has to say first that the memory is there.
  if (!spec.restore_from.empty()) arguments.add("-incoming", "defer");
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
