// nftables through libnftables: one transaction per call, in this namespace or another.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace mvr::sys {

// Applies an nft script atomically. The Err text is nft's own first error line.
Result<void> nft_apply(const Fd* netns, const std::string& script);
Result<std::string> nft_list(const Fd* netns, const std::string& command);  // "list table inet x"

}  // namespace mvr::sys
