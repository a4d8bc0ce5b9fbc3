#!/bin/sh
# Makes the Debian package of a build directory, in its folder deb.
# usage: package.sh CMAKE CPACK DIRECTORY
set -eu
"$1" --build "$3" --target package_files
rm -rf "$3/deb"
"$2" --config "$3/CPackConfig.cmake" -B "$3/deb"
rm -rf "$3/deb/_CPack_Packages"
