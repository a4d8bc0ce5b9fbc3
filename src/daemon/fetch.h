// One answer by HTTP, waited for: for what is no part of the daemon's loop.
#pragma once

#include "base/result.h"
#include "sys/http.h"

namespace mvr::daemon {

Result<sys::HttpResponse> fetch(sys::HttpRequest request);

}  // namespace mvr::daemon
