// What a single value may be. Each kind is a small value with two answers: the value a text means
// (or nothing), and `allowed()`, the end of the sentence '"x" is not ...'.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"

namespace mvr::config {

struct Whole {
  std::uint32_t least = 0;
  std::uint32_t most = 0;
  std::optional<std::uint32_t> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

// A number GitHub gives to something of its own.
struct Id {
  std::optional<std::int64_t> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const { return "a whole number, as GitHub shows it"; }
};

struct Signed {
  std::int32_t least = 0;
  std::int32_t most = 0;
  std::optional<std::int32_t> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

struct Fraction {
  double least = 0;
  double most = 0;
  std::optional<double> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

struct Size {
  Bytes least;
  Bytes most;
  std::optional<Bytes> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

struct Span {
  Duration least{};
  Duration most{};
  std::optional<Duration> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

// One of a few words.
struct Choice {
  std::span<const std::string_view> words;
  std::optional<std::string> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

struct Flag {
  std::optional<bool> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const { return "true or false"; }
};

// Like Flag, for a whole feature: on and off are said as well.
struct Switch {
  std::optional<bool> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const { return "on, off, true or false"; }
};

// Text that a predicate accepts.
struct Text {
  bool (*accepts)(std::string_view) = nullptr;
  std::string_view description;
  std::optional<std::string> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const { return std::string(description); }
};
extern const Text kPlainName;     // at most 20 characters: they become part of longer names
extern const Text kInstance;      // prefix of network interface names
extern const Text kDirectory;     // absolute, clean, short enough for socket paths below it
extern const Text kFile;          // absolute
extern const Text kOptionalFile;  // or ""
extern const Text kProgram;
extern const Text kGroup;
extern const Text kStoreName;   // images
extern const Text kKernelName;  // kernel releases
extern const Text kOptionalStoreName;
extern const Text kWebAddress;
extern const Text kOwner;
extern const Text kAppId;
extern const Text kOptionalCredential;  // or ""
extern const Text kRepositoryName;
extern const Text kRepositoryPattern;  // with * for any characters
extern const Text kEnterprise;
extern const Text kRepository;      // owner/name
extern const Text kRunnerGroup;     // or ""
extern const Text kOptionalListen;  // a.b.c.d:port or [v6]:port, or ""
extern const Text kEgress;          // a.b.c.d/n or a.b.c.d:port
extern const Text kKernelArgs;
extern const Text kSubnet;
extern const Text kCurrency;
extern const Text kBuildArgument;  // the name of a Dockerfile's ARG
extern const Text kLine;           // any text without control characters

// A label, in lower case: GitHub compares them so. Braces mark place holders, which only labels of
// profiles may have.
struct Label {
  bool may_be_pattern = false;
  std::optional<std::string> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const;
};

// A host's name, with all below it: "*.example.com" says the same as "example.com", which is kept.
struct EgressName {
  std::optional<std::string> operator()(std::string_view text) const;
  [[nodiscard]] std::string allowed() const { return "a host's name like example.com"; }
};

// `auto`, or what Kind allows: a measured default.
template <class Kind>
struct OrAuto {
  Kind kind;
  using Value = typename decltype(std::declval<Kind>()(std::string_view{}))::value_type;
  std::optional<std::optional<Value>> operator()(std::string_view text) const {
    if (text == "auto") return std::optional<Value>{};
    const std::optional<Value> value = kind(text);
    return value ? std::optional<std::optional<Value>>(value) : std::nullopt;
  }
  [[nodiscard]] std::string allowed() const { return "auto or " + kind.allowed(); }
};
template <class Kind>
OrAuto<Kind> or_auto(Kind kind) {
  return OrAuto<Kind>{kind};
}

// `unlimited`, which is zero, or what Kind allows.
template <class Kind>
struct OrUnlimited {
  Kind kind;
  using Value = typename decltype(std::declval<Kind>()(std::string_view{}))::value_type;
  std::optional<Value> operator()(std::string_view text) const {
    return text == "unlimited" ? Value{} : kind(text);
  }
  [[nodiscard]] std::string allowed() const { return "unlimited or " + kind.allowed(); }
};
template <class Kind>
OrUnlimited<Kind> or_unlimited(Kind kind) {
  return OrUnlimited<Kind>{kind};
}

}  // namespace mvr::config
