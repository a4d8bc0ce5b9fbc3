# What is installed: cmake -S . -B build/release -G Ninja -C scripts/cmake/release.cmake
set(CMAKE_CXX_COMPILER g++ CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fstack-clash-protection -fcf-protection -fPIE" CACHE STRING "")
set(CMAKE_EXE_LINKER_FLAGS "-pie" CACHE STRING "")
set(MVR_TESTS OFF CACHE BOOL "")
