// The channel over vsock, where the VMM has that instead of a virtio-serial port.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace mvr::guest {

// Whether there is a way to a host: the driver is loaded and has found its device.
bool has_vsock();
// Connects to channel::kVsockPort of the host; the socket does not block. Err when nobody listens,
// at once, or when there is no answer within half a second.
Result<Fd> connect_vsock();

}  // namespace mvr::guest
