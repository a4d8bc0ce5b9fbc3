#include "guest/diagnostics.h"

#include <unistd.h>

#include "catch.h"
#include "guest/files.h"
#include "temp_dir.h"

namespace mvr::guest {
namespace {

using test::TempDir;

TEST_CASE("logs are followed as they grow, each under its name") {
  const TempDir directory;
  Diagnostics logs;
  logs.follow(directory.path() + "/_diag");
  CHECK(logs.read_new(1000).empty());  // not there yet
  REQUIRE(make_directory(directory.path() + "/_diag"));
  const std::string runner = directory.path() + "/_diag/Runner_1.log";
  REQUIRE(append_file(runner, "one\n"));
  REQUIRE(append_file(directory.path() + "/_diag/other.txt", "no log\n"));
  CHECK(logs.read_new(1000) == "==> Runner_1.log\none\n");
  CHECK(logs.read_new(1000).empty());
  REQUIRE(append_file(runner, "two\n"));
  CHECK(logs.read_new(1000) == "two\n");
  REQUIRE(append_file(directory.path() + "/_diag/Worker_1.log", "work\n"));
  CHECK(logs.read_new(1000) == "==> Worker_1.log\nwork\n");
  REQUIRE(append_file(runner, "three\n"));
  CHECK(logs.read_new(1000) == "==> Runner_1.log\nthree\n");
}

TEST_CASE("what a job puts there is neither followed elsewhere nor without end") {
  const TempDir directory;
  REQUIRE(append_file(directory.path() + "/secret", "secret\n"));
  REQUIRE(::symlink((directory.path() + "/secret").c_str(),
                    (directory.path() + "/Worker_2.log").c_str()) == 0);
  REQUIRE(append_file(directory.path() + "/Worker_3.log", std::string(100'000, 'x')));
  Diagnostics logs;
  logs.follow(directory.path());
  const std::string first = logs.read_new(1000);
  CHECK(first == "==> Worker_3.log\n" + std::string(1000, 'x'));
  std::size_t total = 1000;
  REQUIRE(append_file(directory.path() + "/Worker_3.log", std::string(5'000'000, 'y')));
  for (std::string text = logs.read_new(65'536); !text.empty(); text = logs.read_new(65'536)) {
    total += text.size();
  }
  CHECK(total == Diagnostics::kMaxBytes);
}

}  // namespace
}  // namespace mvr::guest
