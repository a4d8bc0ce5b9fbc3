#include "image/kernel_image.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <elf.h>

#include "base/fd.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxNotes = 64 * 1024;
constexpr std::size_t kMaxHeaders = 64;
// XEN_ELFNOTE_PHYS32_ENTRY of Linux' xen/interface/elfnote.h.
constexpr std::uint32_t kPvhEntry = 18;

// Up to `size` bytes from `offset` on; fewer where the file ends.
Result<std::string> read_at(const Fd& file, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::pread(file.get(), bytes.data() + filled, size - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

// A structure out of bytes that hold it whole.
template <typename T>
T structure(std::string_view bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

std::size_t padded(std::size_t size) { return (size + 3) / 4 * 4; }

bool has_pvh_note(std::string_view notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto header = structure<Elf64_Nhdr>(notes);
    notes.remove_prefix(sizeof header);
    const std::size_t name_size = padded(header.n_namesz);
    const std::size_t size = name_size + padded(header.n_descsz);
    if (size > notes.size()) return false;
    const bool is_xen = notes.substr(0, header.n_namesz) == std::string_view("Xen\0", 4);
    if (is_xen && header.n_type == kPvhEntry) return true;
    notes.remove_prefix(size);
  }
  return false;
}

Result<void> check_elf(const Fd& file, std::string_view start) {
  const auto header = structure<Elf64_Ehdr>(start);
  if (start.size() < sizeof header || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
      header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxHeaders) {
    return fail(Errc::invalid, "an ELF file, but no kernel for x86-64");
  }
  TRY_ASSIGN(const std::string table,
             read_at(file, header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr)));
  for (std::string_view rest = table; rest.size() >= sizeof(Elf64_Phdr);
       rest.remove_prefix(sizeof(Elf64_Phdr))) {
    const auto segment = structure<Elf64_Phdr>(rest);
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) continue;
    TRY_ASSIGN(const std::string notes, read_at(file, segment.p_offset, segment.p_filesz));
    if (has_pvh_note(notes)) return {};
  }
  return fail(Errc::invalid,
              "no PVH entry in it, by which a VMM starts it: build with CONFIG_PVH=y");
}

}  // namespace

Result<void> check_kernel_image(const std::string& path) {
  TRY_ASSIGN(const Fd file, sys::open_read(path));
  TRY_ASSIGN(const std::string start, context(read_at(file, 0, 1024), path));
  const std::string_view bytes(start);
  const auto has = [bytes](std::size_t offset, std::string_view magic) {
    return bytes.size() >= offset + magic.size() && bytes.substr(offset, magic.size()) == magic;
  };
  if (has(0, ELFMAG)) return context(check_elf(file, bytes), path);
  // The boot protocols' own magic numbers: Documentation/arch/x86/boot.rst, arm64/booting.rst.
  const bool is_image = has(0x202, "HdrS") || has(0x38, "ARM\x64");
  if (is_image) return {};
  return fail(Errc::invalid, path + " is no kernel: neither vmlinux nor bzImage nor Image");
}

}  // namespace mvr::image
