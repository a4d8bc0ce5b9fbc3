// Private to http: one request as libcurl sees it. No loop here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <curl/curl.h>

#include "sys/http.h"

namespace mvr::sys {

class HttpTransfer {
 public:
  // Err invalid when the request cannot be expressed safely.
  static Result<std::unique_ptr<HttpTransfer>> create(HttpRequest request,
                                                      const std::string& user_agent);
  ~HttpTransfer();
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  [[nodiscard]] CURL* easy() const { return easy_.get(); }
  // The outcome, after libcurl reported `code` for it. Once.
  Result<HttpResponse> finish(CURLcode code);

 private:
  explicit HttpTransfer(HttpRequest request);
  Result<void> add_headers();
  [[nodiscard]] bool set_options(const std::string& user_agent);
  [[nodiscard]] bool set_method();
  [[nodiscard]] bool set_limits();
  [[nodiscard]] bool set_callbacks();
  bool take_header(std::string_view line);
  bool take_body(std::string_view data);
  bool write_body(std::string_view data);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);

  HttpRequest request_;
  HttpResponse response_;
  std::size_t header_bytes_ = 0;
  std::uint64_t body_bytes_ = 0;
  const char* overflow_ = nullptr;  // what exceeded its bound
  int write_error_ = 0;             // errno of the file the body goes to
  std::string error_text_;          // libcurl's buffer of CURL_ERROR_SIZE bytes
  std::unique_ptr<CURL, void (*)(CURL*)> easy_;
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> header_list_;
};

// The URL without user, query and fragment: those may hold credentials.
std::string url_to_show(const std::string& url);

}  // namespace mvr::sys
