#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace mvr {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this == &other) return *this;
  if (raw_ >= 0) (void)::close(raw_);  // nobody to tell: callers who care use close()
  raw_ = std::exchange(other.raw_, -1);
  return *this;
}

Fd::~Fd() {
  if (raw_ >= 0) (void)::close(raw_);
}

Result<void> Fd::close() {
  if (raw_ < 0) return {};
  // Linux frees the number even when close() fails, EINTR included: never try again.
  if (::close(std::exchange(raw_, -1)) != 0 && errno != EINTR) return fail_errno(errno, "close");
  return {};
}

Result<Fd> Fd::duplicate() const {
  const int copy = ::fcntl(raw_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return fail_errno(errno, "duplicate a descriptor");
  return Fd(copy);
}

}  // namespace mvr
