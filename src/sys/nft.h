// nftables through libnftables: one transaction per call, in this namespace or another.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"

struct nft_ctx;  // of libnftables

namespace mvr::sys {

// For whoever changes the nftables of one namespace again and again: to close what has deleted
// something waits for the kernel to be done with it, some 10 ms. The Err text is nft's own first
// error line.
class Nft {
 public:
  static Result<Nft> open(const Fd* netns);
  // Applies an nft script atomically.
  Result<void> apply(const std::string& script);
  Result<std::string> list(const std::string& command);  // "list table inet x"

 private:
  struct Close {
    void operator()(nft_ctx* context) const;
  };
  Result<std::string> run(const std::string& script);

  std::unique_ptr<nft_ctx, Close> context_;
};

// The same, once.
Result<void> nft_apply(const Fd* netns, const std::string& script);
Result<std::string> nft_list(const Fd* netns, const std::string& command);

}  // namespace mvr::sys
