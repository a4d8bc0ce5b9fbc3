#include "sys/memory_file.h"

#include <fcntl.h>
#include <unistd.h>

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

}  // namespace mvr::sys
