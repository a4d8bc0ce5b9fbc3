# The second compiler, and the compile commands clang-tidy reads:
# cmake -S . -B build/clang -G Ninja -C scripts/cmake/clang.cmake
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_COMPILE_WARNING_AS_ERROR ON CACHE BOOL "")
find_program(MVR_CCACHE ccache)
if(MVR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MVR_CCACHE} CACHE STRING "")
endif()
