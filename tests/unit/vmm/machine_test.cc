#include <fcntl.h>
#include <unistd.h>

#include "catch.h"
#include "fixture.h"

namespace mvr::vmm {
namespace {

TEST_CASE("huge pages of the pool are there before the VMM asks for them") {
  const TempDir directory;
  const std::string pool = directory / "free_hugepages";
  REQUIRE(sys::write_file(pool, "511\n"));
  MachineSpec spec;
  spec.memory = gib(1);
  CHECK(check_huge_pages(spec, pool));
  spec.huge_pages = HugePages::transparent;
  CHECK(check_huge_pages(spec, pool));
  spec.huge_pages = HugePages::reserved;
  const auto short_of = check_huge_pages(spec, pool);
  REQUIRE_FALSE(short_of);
  CHECK(short_of.error().code == Errc::unavailable);
  CHECK(short_of.error().what == "the VM needs 512 huge pages of 2MiB, 511 are free");
  CHECK(short_of.error().remedy == "raise vm.nr_hugepages");
  REQUIRE(sys::write_file(pool, "512\n"));
  CHECK(check_huge_pages(spec, pool));
  CHECK(check_huge_pages(spec, directory / "none").error().code == Errc::not_found);
  CHECK(file_size_limit(spec) == gib(1).value);
}

TEST_CASE("a console below its limit is kept") {
  const TempDir directory;
  REQUIRE(sys::write_file(directory / "console", "four"));
  CHECK(bound_console(directory / "console", Bytes{4}).value() == false);
  CHECK(sys::read_file(directory / "console").value() == "four");
}

TEST_CASE("a console over its limit is emptied and its writer goes on at the start") {
  const TempDir directory;
  const std::string path = directory / "console";
  const Fd writer(::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  REQUIRE(::write(writer.get(), "12345", 5) == 5);
  CHECK(bound_console(path, Bytes{4}).value() == true);
  REQUIRE(::write(writer.get(), "6", 1) == 1);
  CHECK(sys::read_file(path).value() == "6");
}

TEST_CASE("a link in place of a console is not followed") {
  const TempDir directory;
  REQUIRE(sys::write_file(directory / "victim", "precious"));
  REQUIRE(::symlink((directory / "victim").c_str(), (directory / "console").c_str()) == 0);
  CHECK(bound_console(directory / "console", Bytes{1}).error().code == Errc::invalid);
  CHECK(sys::read_file(directory / "victim").value() == "precious");
}

TEST_CASE("a console that is not there is an error") {
  const TempDir directory;
  CHECK(bound_console(directory / "none", Bytes{1}).error().code == Errc::not_found);
}

TEST_CASE("a machine that may be saved may write a file of all its memory") {
  MachineSpec spec;
  spec.memory = gib(2);
  CHECK(file_size_limit(spec) == spec.console_limit.value);
  spec.may_be_saved = true;
  CHECK(file_size_limit(spec) > gib(2).value);
}

}  // namespace
}  // namespace mvr::vmm
