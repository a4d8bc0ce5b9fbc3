// Points the engines of the guest to the registry mirror of the host, before they start. All of
// them turn to the registry itself when the mirror does not answer.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "guest/users.h"

namespace mvr::guest {

// dockerd's daemon.json with this mirror (host:port) in it: first in `registry-mirrors`, and among
// the `insecure-registries`, as it speaks HTTP. Other keys, their order and their values stay. Err
// invalid: `text` is no object of JSON, or these keys are not lists of text.
Result<std::string> with_mirror(std::string_view text, const std::string& mirror);
// A buildkitd.toml with this mirror for Docker Hub.
std::string buildkit_settings(const std::string& mirror);

// For dockerd, and for buildkitd where it has no settings yet. Nothing happens without a mirror.
Result<void> wire_mirror(const std::string& mirror);
// For the builders `docker buildx create` makes in containers, where `user` has no settings yet.
Result<void> wire_buildx(const std::string& mirror, const User& user);

}  // namespace mvr::guest
