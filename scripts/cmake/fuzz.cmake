# The fuzz targets: cmake -S . -B build/fuzz -G Ninja -C scripts/cmake/fuzz.cmake
# then `ninja -C build/fuzz fuzz_targets && ctest --test-dir build/fuzz -L fuzz`.
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fno-sanitize-recover=all" CACHE STRING "")
set(MVR_FUZZ ON CACHE BOOL "")
set(MVR_SANITIZE "fuzzer-no-link,address,undefined" CACHE STRING "")
find_program(MVR_CCACHE ccache)
if(MVR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MVR_CCACHE} CACHE STRING "")
endif()
