#include "cli/meter.h"

#include "catch.h"

namespace mvr::cli {
namespace {

TEST_CASE("a bar fills from nothing to all, and no further") {
  CHECK(bar_text(Bytes{0}, mib(100)) == "  [..............................]   0 % of 100MiB");
  CHECK(bar_text(mib(50), mib(100)) == "  [###############...............]  50 % of 100MiB");
  CHECK(bar_text(mib(100), mib(100)) == "  [##############################] 100 % of 100MiB");
  CHECK(bar_text(mib(300), mib(100)) == bar_text(mib(100), mib(100)));
  CHECK(bar_text(Bytes{0}, Bytes{0}) == "  [..............................]   0 % of 1MiB");
  CHECK(bar_text(gib(4000), gib(8000)).find(" 50 % of 8192000MiB") != std::string::npos);
}

TEST_CASE("a step is one line, whatever is in it") {
  CHECK(step_text(3, 9, "RUN make") == "  step 3/9  RUN make");
  const std::string text = step_text(1, 2, "RUN \x1b[2J" + std::string(500, 'x'));
  CHECK(text.size() < 80);
  CHECK(text.find('\x1b') == std::string::npos);
}

}  // namespace
}  // namespace mvr::cli
