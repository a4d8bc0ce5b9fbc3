// What the builders print, read for the step they are at and for why they failed.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "image/dockerfile.h"

namespace mvr::image {

struct BuildStep {
  std::size_t number = 0;  // of its stage
  std::size_t of = 0;
  std::string text;  // "RUN make"
  friend bool operator==(const BuildStep&, const BuildStep&) = default;
};
// "STEP 3/9: RUN make" and "[1/2] STEP 3/9: ..." of buildah and podman; "#7 [stage-0 3/9] RUN make"
// of docker. Empty for any other line.
std::optional<BuildStep> parse_step(std::string_view line);

class BuildOutput {
 public:
  // Takes in the next line; the step that begins with it, if one does.
  std::optional<BuildStep> line(std::string_view text);
  // Where it failed: "Dockerfile line 7, step 3/9 \"RUN make\": exit code 2", as far as it is
  // known; empty: nothing is.
  [[nodiscard]] std::string failure(const Dockerfile& file) const;
  // The container runtime could not even make a container, as with cgroup layouts that it does not
  // know. A RUN step that fails by itself does not say this.
  [[nodiscard]] bool runtime_refused() const { return runtime_refused_; }

 private:
  [[nodiscard]] std::size_t line_of_step(const Dockerfile& file) const;

  std::optional<BuildStep> latest_;
  std::optional<BuildStep> failed_;                // the one docker names as failed
  std::map<std::string, std::size_t> seen_;        // how often a step's text has come by
  std::map<std::string, BuildStep> docker_steps_;  // "#7" -> its step
  std::size_t docker_line_ = 0;                    // of "Dockerfile:7"
  std::optional<int> exit_code_;
  bool runtime_refused_ = false;
};

}  // namespace mvr::image
