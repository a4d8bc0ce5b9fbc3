#include "cli/cli.h"

int main(int argc, char** argv) { return mvr::cli::run(argc, argv); }
