// mvrunner-agent: process 1 of every VM. It never returns: the kernel would panic. A copy of it is
// also what the runner's job-started hook calls (gate.h).
#include <unistd.h>

#include "guest/agent.h"
#include "guest/gate.h"

int main(int argc, char** argv) {
  // Process 1 gets what words of its command line the kernel does not know.
  if (argc > 1 && ::getpid() != 1) {
    return mvr::guest::run_gate({argv + 1, static_cast<std::size_t>(argc - 1)});
  }
  mvr::guest::run();
}
