#include "sys/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <span>
#include <string_view>

#include "helpers.h"
#include "sys/process.h"

namespace mvr::sys {

TEST_CASE("a child reads a file in memory by its number, whatever user it runs as") {
  auto file = make_memory_file("x", "secret\n");
  REQUIRE(file);
  CHECK(::write(file->get(), "more", 4) == -1);
  const TempDir directory;
  const std::string path = directory / "out";
  auto out = Fd(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  REQUIRE(out);
  SpawnOptions options;
  options.argv = {"cat", "/proc/self/fd/3"};
  options.fds = {{out.get(), 1}, {file->get(), 3}};
  if (::geteuid() == 0) {
    options.uid = 65534;
    options.gid = 65534;
  }
  auto child = Process::spawn(options);
  REQUIRE(child);
  const auto exit = child->wait(Duration(10'000));
  REQUIRE(exit);
  CHECK(exit->ok());
  CHECK(read_file(path) == "secret\n");
}

TEST_CASE("nobody changes a sealed copy, and whoever maps it privately has a copy of his own") {
  const TempDir directory;
  const Fd source(::open((directory / "from").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  REQUIRE(::pwrite(source.get(), "template", 8, 4096) == 8);
  REQUIRE(::ftruncate(source.get(), 1 << 20) == 0);
  const Fd file = copy_to_memory_file("x", directory / "from").value();
  CHECK(::pwrite(file.get(), "x", 1, 0) == -1);
  CHECK(::ftruncate(file.get(), 0) == -1);
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const Fd opened(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(opened);
  CHECK(::pwrite(opened.get(), "x", 1, 0) == -1);
  const auto map = [&](int kind) {
    return ::mmap(nullptr, mib(1).value, PROT_READ | PROT_WRITE, kind, opened.get(), 0);
  };
  CHECK(map(MAP_SHARED) == MAP_FAILED);
  void* const address = map(MAP_PRIVATE);
  REQUIRE(address != MAP_FAILED);
  const std::span<char> memory(static_cast<char*>(address), mib(1).value);
  CHECK(std::string_view(memory.data(), memory.size()).substr(4096, 8) == "template");
  memory[4096] = 'T';
  std::array<char, 8> read{};
  REQUIRE(::pread(file.get(), read.data(), read.size(), 4096) == 8);
  CHECK(std::string_view(read.data(), read.size()) == "template");
  ::munmap(address, mib(1).value);
}

TEST_CASE("what is not there is not copied") {
  const TempDir directory;
  CHECK(copy_to_memory_file("x", directory / "none").error().code == Errc::not_found);
}

}  // namespace mvr::sys
