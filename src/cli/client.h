// The client end of the control socket (daemon/control.h has the shapes).
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cli/cli.h"

namespace mvr::cli {

class Client {
 public:
  // Err unavailable, with the remedy, when no daemon answers.
  static Result<Client> connect(const core::Config& config);
  // receive() then fails with timed_out where an answer takes longer.
  Result<void> set_limit(Duration limit);
  Result<void> send(const nlohmann::json& request);
  // The next answer line; empty at the end of the stream. A descriptor that came along is kept
  // for take_fd(). Answers with "ok":false become an Err.
  Result<std::optional<nlohmann::json>> receive();
  // To wait on, unless a line has come already.
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] bool has_line() const { return buffer_.find('\n') != std::string::npos; }
  [[nodiscard]] Fd take_fd() { return std::move(received_); }

 private:
  Fd socket_;
  Fd received_;
  std::string buffer_;
};

// One request, one answer.
Result<nlohmann::json> ask(const Context& context, const nlohmann::json& request);
Result<nlohmann::json> ask(const core::Config& config, const nlohmann::json& request);

}  // namespace mvr::cli
