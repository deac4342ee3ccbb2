#include "text/unicode.hpp"

#include "common/error.hpp"

#ifdef LLAMA_HAS_ICU

#include <unicode/bytestream.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/uchar.h>
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

bool is_in(char32_t code, std::uint32_t categories) {
  return (U_GET_GC_MASK(static_cast<UChar32>(code)) & categories) != 0;
}

/// Oniguruma's pattern as ICU's. Errors: input_error for what would mean something else, or nothing.
std::string adapted(const std::string& pattern) {
  const auto refuse = [&](const std::string& what) {
    throw input_error("the regular expression " + pattern + ": " + what + " is not supported");
  };
  std::string result;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (c == '\\' && next != '\0') {
      ++i;
      if (std::string_view("bBhHKORXNyYgGkMcC").find(next) != std::string_view::npos) {
        refuse(std::string("\\") + next);
      }
      if (next == 'w') {
        result += "[\\w&&[^\\u200C\\u200D]]";
      } else if (next == 'W') {
        result += "[\\W\\u200C\\u200D]";
      } else {
        result += {c, next};
      }
      continue;
    }
    if (c == '(' && next == '?') {
      const std::size_t end = pattern.find_first_of(":)", i);
      const std::string_view options = std::string_view(pattern).substr(i + 2, end - i - 2);
      const bool letters = options.find_first_not_of("imxsadlu-") == std::string_view::npos;
      if (letters && options.find_first_not_of("ix-") != std::string_view::npos) {
        refuse("(?" + std::string(options));
      }
      if (next == '?' && i + 2 < pattern.size() && pattern[i + 2] == '~') refuse("(?~");
    }
    // There a second repetition, here a possessive one.
    if (c == '}' && next == '+' && i > 0 && pattern[i - 1] >= '0' && pattern[i - 1] <= '9') refuse("{n}+");
    result += c;
  }
  return result;
}

}  // namespace

bool is_number(char32_t code) { return is_in(code, U_GC_N_MASK); }

bool is_punctuation(char32_t code) {
  return is_in(code, U_GC_P_MASK) || (code > 0x20 && code < 0x7F && is_in(code, U_GC_S_MASK));
}

bool is_word_character(char32_t code) {
  const auto c = static_cast<UChar32>(code);
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         is_in(code, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
}

void require_icu(const std::string&) {}

struct unicode_pattern::compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

unicode_pattern::unicode_pattern(const std::string& pattern) : compiled_(std::make_unique<compiled>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError place;
  compiled_->pattern.reset(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(adapted(pattern)),
                                                      UREGEX_MULTILINE | UREGEX_UNIX_LINES, place, status));
  check(status, "the regular expression " + pattern);
}

text_ranges unicode_pattern::find(std::string_view text) const {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
  utf8_text subject(text);
  check(subject.status, "reading a text");
  check(status, "matching a text");
  matcher->reset(&subject.handle);

  text_ranges matches;
  while (matcher->find(status)) {
    const text_range match = {static_cast<std::size_t>(matcher->start64(status)),
                              static_cast<std::size_t>(matcher->end64(status))};
    const bool right_behind = !matches.empty() && match.begin == match.end && match.begin == matches.back().end;
    if (!right_behind) matches.push_back(match);
  }
  check(status, "matching a text");
  return matches;
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
  normaliser->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr,
                            status);
  check(status, "Unicode normalisation");
  return result;
}

std::string lower_case(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const utf8_character c = utf8_decode(text);
    icu::UnicodeString(static_cast<UChar32>(c.code)).toLower(icu::Locale::getRoot()).toUTF8String(result);
    text.remove_prefix(c.length);
  }
  return result;
}

}  // namespace llama

#else

namespace llama {

void require_icu(const std::string& what) {
  throw input_error(what + " needs ICU, without which this program was built (Debian: libicu-dev)");
}

// Never reached: whoever uses these asks require_icu() first.
bool is_number(char32_t) { return false; }
bool is_punctuation(char32_t) { return false; }
bool is_word_character(char32_t) { return false; }
std::string normalise(std::string_view text, normal_form) { return std::string(text); }
std::string lower_case(std::string_view text) { return std::string(text); }

struct unicode_pattern::compiled {};
unicode_pattern::unicode_pattern(const std::string& pattern) { require_icu("the regular expression " + pattern); }
text_ranges unicode_pattern::find(std::string_view) const { return {}; }

}  // namespace llama

#endif

namespace llama {

unicode_pattern::~unicode_pattern() = default;
unicode_pattern::unicode_pattern(unicode_pattern&&) noexcept = default;
unicode_pattern& unicode_pattern::operator=(unicode_pattern&&) noexcept = default;

bool is_white_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

}  // namespace llama
