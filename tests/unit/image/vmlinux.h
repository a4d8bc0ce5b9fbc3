// Kernels as far as we look at them.
#pragma once

#include <cstring>
#include <string>

#include <elf.h>

namespace mvr::image {

inline constexpr std::size_t kNotesAt = 4096;

template <typename T>
void set(std::string& bytes, std::size_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline std::string note(const std::string& name, std::uint32_t type, const std::string& content) {
  std::string bytes(sizeof(Elf64_Nhdr), '\0');
  Elf64_Nhdr header{};
  header.n_namesz = static_cast<Elf64_Word>(name.size());
  header.n_descsz = static_cast<Elf64_Word>(content.size());
  header.n_type = type;
  set(bytes, 0, header);
  for (const std::string& part : {name, content}) {
    bytes += part + std::string((4 - part.size() % 4) % 4, '\0');
  }
  return bytes;
}

// A vmlinux as far as it is looked at: headers, and one segment of notes.
inline std::string vmlinux(const std::string& notes) {
  std::string bytes(kNotesAt, '\0');
  Elf64_Ehdr header{};
  std::memcpy(&header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  set(bytes, 0, header);
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = kNotesAt;
  segment.p_filesz = notes.size();
  set(bytes, sizeof header + sizeof segment, segment);
  return bytes + notes;
}

inline const std::string kXen("Xen\0", 4);
inline const std::string kGnu("GNU\0", 4);

inline std::string bootable() {
  return vmlinux(note(kGnu, 3, "12345") + note(kXen, 18, "12345678"));
}

}  // namespace mvr::image
