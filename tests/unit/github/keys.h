// Private keys as GitHub and people's tools write them; made once per program.
#pragma once

#include <string>

namespace mvr::test {

struct KeyTexts {
  std::string pkcs1;          // BEGIN RSA PRIVATE KEY
  std::string pkcs8;          // BEGIN PRIVATE KEY
  std::string encrypted;      // BEGIN ENCRYPTED PRIVATE KEY
  std::string pem_encrypted;  // BEGIN RSA PRIVATE KEY with DEK-Info
  std::string public_part;
};
// An RSA key of 2048 bits.
const KeyTexts& rsa_key();
// Another one, PKCS#1.
const std::string& other_rsa_key();
std::string small_rsa_key();  // 1024 bits
std::string ec_key();         // P-256

// Does `signature` of `bytes` verify by the public part of rsa_key()?
bool verifies(const std::string& bytes, const std::string& signature);
// Base64 as RFC 7515 has it -> bytes; fails the test when it is something else.
std::string decode_base64url(std::string text);

}  // namespace mvr::test
