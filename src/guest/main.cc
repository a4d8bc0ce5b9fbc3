// mvrunner-agent: process 1 of every VM. It never returns: the kernel would panic.
#include "guest/agent.h"

int main() { mvr::guest::run(); }
