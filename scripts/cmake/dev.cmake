# For everyday work: cmake -S . -B build/dev -G Ninja -C scripts/cmake/dev.cmake
set(CMAKE_CXX_COMPILER g++ CACHE STRING "")
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_COMPILE_WARNING_AS_ERROR ON CACHE BOOL "")
find_program(MVR_CCACHE ccache)
if(MVR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MVR_CCACHE} CACHE STRING "")
endif()
