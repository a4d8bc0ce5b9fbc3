#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace mvr {
namespace {

Errc code_of_errno(int number) {
  switch (number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return Errc::not_found;
    case EEXIST:
    case EADDRINUSE:
      return Errc::exists;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
      return Errc::busy;
    case EPERM:
    case EACCES:
    case EROFS:
      return Errc::denied;
    case ETIMEDOUT:
      return Errc::timed_out;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTUNREACH:
    case EPIPE:
      return Errc::unavailable;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
      return Errc::invalid;
    case E2BIG:
    case EFBIG:
      return Errc::too_large;
    case ENOSPC:
    case EDQUOT:
      return Errc::full;
    case ECANCELED:
      return Errc::cancelled;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
      return Errc::unsupported;
    default:
      return Errc::io;
  }
}

}  // namespace

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::invalid:
      return "invalid";
    case Errc::not_found:
      return "not_found";
    case Errc::exists:
      return "exists";
    case Errc::busy:
      return "busy";
    case Errc::denied:
      return "denied";
    case Errc::unauthorized:
      return "unauthorized";
    case Errc::rate_limited:
      return "rate_limited";
    case Errc::timed_out:
      return "timed_out";
    case Errc::unavailable:
      return "unavailable";
    case Errc::protocol:
      return "protocol";
    case Errc::too_large:
      return "too_large";
    case Errc::full:
      return "full";
    case Errc::cancelled:
      return "cancelled";
    case Errc::unsupported:
      return "unsupported";
    case Errc::io:
      return "io";
  }
  return "unknown";
}

std::string full_text(const Error& error) {
  return error.remedy.empty() ? error.what : error.what + "; " + error.remedy;
}

Error os_error(int error_number, std::string_view what) {
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(error_number);
  return Error{code_of_errno(error_number), std::move(text)};
}

Error with_context(Error error, std::string_view context) {
  std::string text(context);
  text += ": ";
  error.what.insert(0, text);
  return error;
}

}  // namespace mvr
