// The only include of Catch2 (Debian 12 ships v2), so that a move to v3 touches one file.
#pragma once

#include <catch2/catch.hpp>
