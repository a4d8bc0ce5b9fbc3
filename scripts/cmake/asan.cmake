# For the test suite: cmake -S . -B build/asan -G Ninja -C scripts/cmake/asan.cmake
# Optimised a little, so that the simulator stays fast under the sanitizers.
set(CMAKE_CXX_COMPILER g++ CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fno-sanitize-recover=all" CACHE STRING "")
set(CMAKE_COMPILE_WARNING_AS_ERROR ON CACHE BOOL "")
set(MVR_SANITIZE "address,undefined" CACHE STRING "")
find_program(MVR_CCACHE ccache)
if(MVR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MVR_CCACHE} CACHE STRING "")
endif()
