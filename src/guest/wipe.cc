// Every freed block is overwritten, so that the JIT configuration does not stay behind in the
// agent's heap in one of the copies which decoding and the child's environment need.
#include <cstdlib>
#include <cstring>
#include <new>

#include <malloc.h>

// NOLINTNEXTLINE(misc-new-delete-overloads): memory comes from the default operator new, malloc
void operator delete(void* block) noexcept {
  if (block == nullptr) return;
  explicit_bzero(block, malloc_usable_size(block));
  std::free(block);  // NOLINT(cppcoreguidelines-no-malloc): this is the allocator
}

void operator delete(void* block, std::size_t /*size*/) noexcept { operator delete(block); }
