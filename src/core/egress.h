// What VMs of a profile may reach beyond this host. Names, not addresses: a VM resolves them
// through us, and may then connect to what they resolved to.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mvr::core {

enum class EgressMode {
  open,        // all public addresses
  allow_list,  // GitHub, and the profile's names
  none,        // GitHub only: without it no runner works
  learn,       // as open; what was asked for is kept
};

struct Egress {
  EgressMode mode = EgressMode::open;
  std::vector<std::string> names;  // "example.com": with all names below it; lower case
  friend bool operator==(const Egress&, const Egress&) = default;
  friend auto operator<=>(const Egress&, const Egress&) = default;
};

std::string_view egress_word(EgressMode mode);  // as the configuration has it: "allow-list"
std::optional<EgressMode> parse_egress(std::string_view word);

// Whether VMs reach only what they resolved.
bool is_limited(const Egress& egress);

// A host name of letters, digits, '-' and '.', with two parts at least, none longer than 63 and all
// 253 at most.
bool is_egress_name(std::string_view name);

// Whether `name` is `other` or below it, as www.example.com is below example.com.
bool is_covered_by(std::string_view name, std::string_view other);

// All names a limited VM may resolve, sorted, each once, none below another: GitHub's own and the
// profile's. `github_url` as the configuration has it: another GitHub than github.com has its host
// and what is below it.
std::vector<std::string> egress_names(const Egress& egress, const std::string& github_url);

// What a list has to name so that VMs may ask for these again: without what GitHub's names cover.
std::vector<std::string> egress_list(const std::vector<std::string>& asked,
                                     const std::string& github_url);

}  // namespace mvr::core
