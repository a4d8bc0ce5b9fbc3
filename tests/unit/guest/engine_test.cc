// The command lines of the Docker engine.
#include "guest/engine.h"

#include "catch.h"

namespace mvr::guest {
namespace {

TEST_CASE("dockerd takes the socket it is handed, and containerd runs beside it") {
  const auto commands = engine_commands("/usr/sbin/dockerd", "/usr/bin/containerd");
  CHECK(commands.containerd == std::vector<std::string>{"/usr/bin/containerd"});
  CHECK(commands.dockerd ==
        std::vector<std::string>{"/usr/sbin/dockerd", "--host=fd://",
                                 "--containerd=/run/containerd/containerd.sock"});
}

TEST_CASE("without a containerd in the usual places dockerd starts its own") {
  const auto commands = engine_commands("/usr/local/bin/dockerd", "");
  CHECK(commands.containerd.empty());
  CHECK(commands.dockerd == std::vector<std::string>{"/usr/local/bin/dockerd", "--host=fd://"});
}

}  // namespace
}  // namespace mvr::guest
