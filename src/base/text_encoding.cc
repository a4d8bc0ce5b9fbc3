// The byte-level half of text.h: UTF-8, base64, hexadecimal and what may be shown.
#include <array>

#include "base/text.h"

namespace mvr {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

unsigned byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

struct Character {
  std::size_t length = 0;  // 0: these bytes are no UTF-8
  std::uint32_t code = 0;
};

// Decodes the character at `at`: shortest form only, no surrogates, at most U+10FFFF.
Character decode_utf8(std::string_view text, std::size_t at) {
  const unsigned lead = byte_at(text, at);
  if (lead < 0x80) return Character{1, lead};
  std::size_t length = 0;
  std::uint32_t code = 0;
  std::uint32_t smallest = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2, code = lead & 0x1fU, smallest = 0x80;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3, code = lead & 0x0fU, smallest = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4, code = lead & 0x07U, smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() - at < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    const unsigned next = byte_at(text, at + i);
    if ((next & 0xc0U) != 0x80) return {};
    code = (code << 6U) | (next & 0x3fU);
  }
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return Character{length, code};
}

// Control characters of both blocks, line separators, and the marks that reorder what follows.
bool is_dangerous_to_show(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x200e && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

std::string escape_bytes(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string escaped;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    escaped += "\\x";
    escaped += kDigits[byte_at(bytes, i) >> 4U];
    escaped += kDigits[byte_at(bytes, i) & 0xfU];
  }
  return escaped;
}

// 0..63, or 64 for a byte outside the alphabet.
unsigned base64_value(char c) {
  const std::size_t at = kBase64.find(c);
  return at == std::string_view::npos ? 64U : static_cast<unsigned>(at);
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = decode_utf8(text, at).length;
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string printable(std::string_view text, std::size_t max) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const Character character = decode_utf8(text, at);
    const bool is_plain = character.length > 0 && !is_dangerous_to_show(character.code);
    const std::string_view bytes = text.substr(at, character.length > 0 ? character.length : 1);
    const std::string piece = is_plain ? std::string(bytes) : escape_bytes(bytes);
    if (shown.size() + piece.size() > max) break;
    shown += piece;
    at += bytes.size();
  }
  return shown;
}

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = bytes.size() - at < 3 ? bytes.size() - at : 3;
    std::uint32_t group = byte_at(bytes, at) << 16U;
    if (count > 1) group |= byte_at(bytes, at + 1) << 8U;
    if (count > 2) group |= byte_at(bytes, at + 2);
    text += kBase64[group >> 18U];
    text += kBase64[(group >> 12U) & 63U];
    text += count > 1 ? kBase64[(group >> 6U) & 63U] : '=';
    text += count > 2 ? kBase64[group & 63U] : '=';
  }
  return text;
}

Result<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return fail(Errc::invalid, "base64 length is not a multiple of 4");
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const bool is_last = at + 4 == text.size();
    std::size_t padding = 0;
    if (is_last && text[at + 3] == '=') padding = text[at + 2] == '=' ? 2 : 1;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const unsigned value = i >= 4 - padding ? 0 : base64_value(text[at + i]);
      if (value == 64) return fail(Errc::invalid, "a byte that is not base64");
      group = (group << 6U) | value;
    }
    // Bits below the last whole byte must be zero, so that each value has exactly one spelling.
    const std::uint32_t unused = padding == 0 ? 0U : (padding == 1 ? 0xffU : 0xffffU);
    if ((group & unused) != 0) return fail(Errc::invalid, "base64 with stray bits at its end");
    for (std::size_t i = 0; i < 3 - padding; ++i) {
      bytes += static_cast<char>((group >> (16U - 8U * i)) & 0xffU);
    }
  }
  return bytes;
}

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

}  // namespace mvr
