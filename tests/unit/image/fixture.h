// Temporary directories and small helpers of the image tests.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <stdlib.h>

#include "base/result.h"
#include "catch.h"
#include "image/runner_store.h"
#include "image/store.h"
#include "sys/files.h"
#include "sys/process.h"
#include "temp_dir.h"

namespace mvr::image {

using test::TempDir;

// Sets PATH for as long as it lives.
class PathIs {
 public:
  explicit PathIs(const std::string& value) : before_(::getenv("PATH")) {
    ::setenv("PATH", value.c_str(), 1);
  }
  PathIs(const PathIs&) = delete;
  PathIs& operator=(const PathIs&) = delete;
  PathIs(PathIs&&) = delete;
  PathIs& operator=(PathIs&&) = delete;
  ~PathIs() { ::setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_;
};

inline void put(const std::string& path, const std::string& text, mode_t mode = 0644) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

inline std::string get(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline std::vector<std::string> names_in(const std::string& directory) {
  const auto names = sys::list_directory(directory);
  return names ? *names : std::vector<std::string>{"(unreadable)"};
}

// The output of a program that must succeed.
inline std::string output_of(const std::vector<std::string>& argv) {
  sys::RunOptions options;
  options.argv = argv;
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  const auto result = sys::run_ok(options);
  INFO((result ? "" : result.error().what));
  REQUIRE(result.has_value());
  return *result;
}

// What debugfs says about a path of a filesystem.
inline std::string debugfs(const std::string& image, const std::string& request) {
  return output_of({"debugfs", "-R", request, image});
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Ends a test that this host cannot run: `return skip("why")`.
inline void skip(const std::string& why) { WARN("skipped: " + why); }

template <class T>
std::string error_of(const Result<T>& result) {
  return result ? "(no error)"
                : std::string(errc_name(result.error().code)) + ": " + result.error().what;
}

inline Manifest sample_manifest(const std::string& name) {
  Manifest manifest;
  manifest.name = name;
  manifest.digest = "sha256:" + std::string(64, 'a');
  manifest.size = Bytes{8192};
  manifest.allocated = Bytes{4096};
  manifest.created = "2026-11-20T10:00:00.000Z";
  manifest.builder = "buildah 1.28.2";
  manifest.source = "images/x/Dockerfile";
  manifest.architecture = "amd64";
  manifest.env = {"PATH=/usr/bin", "EMPTY="};
  manifest.user = "runner";
  manifest.workdir = "/home/runner";
  manifest.entrypoint = {"/bin/sh", "-c"};
  manifest.command = {"echo \"hi\""};
  manifest.labels = {{"a", "1"}, {"b", "zwei \xc3\xa4"}};
  return manifest;
}

}  // namespace mvr::image
