// Part of a program, not of the library: every freed block is overwritten, so that a secret does
// not stay behind in the heap in one of the copies which decoding, sending and the environment of
// a child need.
#include <cstdlib>
#include <cstring>
#include <new>

#include <malloc.h>

// The address sanitizer has an allocator of its own, of which no half may be replaced.
#ifndef __SANITIZE_ADDRESS__

// NOLINTNEXTLINE(misc-new-delete-overloads): memory comes from the default operator new, malloc
void operator delete(void* block) noexcept {
  if (block == nullptr) return;
  explicit_bzero(block, malloc_usable_size(block));
  std::free(block);  // NOLINT(cppcoreguidelines-no-malloc): this is the allocator
}

void operator delete(void* block, std::size_t /*size*/) noexcept { operator delete(block); }

#endif
