#include "text/unicode.hpp"

#include "input_error.hpp"

#ifdef LLAMA_HAS_ICU

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/utext.h>

namespace llama {

namespace {

/// Closed whatever happens.
struct utf8_text {
  explicit utf8_text(std::string_view text) {
    utext_openUTF8(&handle, text.data(), static_cast<std::int64_t>(text.size()), &status);
  }
  ~utf8_text() { utext_close(&handle); }
  utf8_text(const utf8_text&) = delete;
  utf8_text& operator=(const utf8_text&) = delete;

  UErrorCode status = U_ZERO_ERROR;
  UText handle = UTEXT_INITIALIZER;
};

void check(UErrorCode status, const std::string& what) {
  if (U_FAILURE(status)) throw input_error(what + ": " + u_errorName(status));
}

}  // namespace

struct unicode_pattern::compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

unicode_pattern::unicode_pattern(const std::string& pattern) : compiled_(std::make_unique<compiled>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError place;
  compiled_->pattern.reset(
      icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(pattern), 0, place, status));
  check(status, "the regular expression " + pattern);
}

std::vector<unicode_pattern::piece> unicode_pattern::find(std::string_view text) const {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
  utf8_text subject(text);
  check(subject.status, "reading a text");
  check(status, "matching a text");
  matcher->reset(&subject.handle);

  std::vector<piece> pieces;
  std::size_t done = 0;
  while (matcher->find(status)) {
    const auto start = static_cast<std::size_t>(matcher->start64(status));
    const auto end = static_cast<std::size_t>(matcher->end64(status));
    if (start > done) pieces.push_back({text.substr(done, start - done), false});
    if (end > start) pieces.push_back({text.substr(start, end - start), true});
    done = end;
  }
  check(status, "matching a text");
  if (done < text.size()) pieces.push_back({text.substr(done), false});
  return pieces;
}

std::string normalise(std::string_view text, normal_form form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normaliser = nullptr;
  switch (form) {
    case normal_form::nfc: normaliser = icu::Normalizer2::getNFCInstance(status); break;
    case normal_form::nfd: normaliser = icu::Normalizer2::getNFDInstance(status); break;
    case normal_form::nfkc: normaliser = icu::Normalizer2::getNFKCInstance(status); break;
    case normal_form::nfkd: normaliser = icu::Normalizer2::getNFKDInstance(status); break;
  }
  check(status, "Unicode normalisation");
  std::string result;
  icu::StringByteSink<std::string> sink(&result);
  normaliser->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink,
                            nullptr, status);
  check(status, "Unicode normalisation");
  return result;
}

}  // namespace llama

#else

namespace llama {

namespace {
[[noreturn]] void refuse(const std::string& what) {
  throw input_error(what + " needs ICU, without which this program was built (Debian: libicu-dev)");
}
}  // namespace

struct unicode_pattern::compiled {};
unicode_pattern::unicode_pattern(const std::string& pattern) { refuse("the regular expression " + pattern); }
std::vector<unicode_pattern::piece> unicode_pattern::find(std::string_view) const { return {}; }
std::string normalise(std::string_view, normal_form) { refuse("Unicode normalisation"); }

}  // namespace llama

#endif

namespace llama {

unicode_pattern::~unicode_pattern() = default;
unicode_pattern::unicode_pattern(unicode_pattern&&) noexcept = default;
unicode_pattern& unicode_pattern::operator=(unicode_pattern&&) noexcept = default;

}  // namespace llama
