#include "training/hash.hpp"

#include <fmt/core.h>

#define XXH_INLINE_ALL  // nothing to link, and compiled for the processor that the rest is compiled for
#include <xxhash.h>

namespace llama {

struct content_hash::state {
  XXH3_state_t of;
};

content_hash::content_hash() : state_(std::make_unique<state>()) { XXH3_128bits_reset(&state_->of); }
content_hash::~content_hash() = default;

content_hash& content_hash::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->of, bytes.data(), bytes.size());
  return *this;
}

content_hash& content_hash::add(std::string_view text) {
  const std::uint64_t length = text.size();
  return add(std::as_bytes(std::span(&length, 1))).add(std::as_bytes(std::span(text)));
}

std::string content_hash::text() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->of);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace llama
