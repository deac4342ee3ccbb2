#pragma once

#include <algorithm>
#include <limits>
#include <regex>
#include <tuple>
#include <unordered_map>

#include <sbora/core/errors.hpp>
#include <sbora/model/name_lists.hpp>
#include <sbora/model/target_rules.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Regular expressions under one key of a config, each of which is tried for each module. Plain names don't count.
inline constexpr std::size_t most_patterns = 4096;

/// What a regular expression can cost, by its text: upper bounds, whatever it means.
struct regex_cost {
  double size = 0;             ///< length with every {n} and {n,m} written out, as compiling does
  std::size_t nesting = 0;     ///< groups in groups
  std::size_t lookaheads = 0;  ///< lookaheads in lookaheads: each tries the rest of the name anew
  bool back_reference = false;
  bool posix_class = false;         ///< a '[' in a class: [[:alpha:]] and the like, which Python doesn't have
  const char* only_some = nullptr;  ///< what Python takes for something else, such as \Z
};

inline regex_cost cost_of_regex(std::string_view text) {
  regex_cost cost{static_cast<double>(text.size())};
  std::vector<bool> open;  // groups, and whether each is a lookahead
  double count = 0;
  bool counting = false, in_class = false;
  std::size_t class_begin = 0, quantifier_ends_at = std::string_view::npos - 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = c >= '0' && c <= '9';
    if (counting && digit) count = 10 * count + (c - '0');
    if (counting && !digit) {
      cost.size *= std::max(1.0, count);
      count = 0;
      counting = c == ',';
    }
    if (c == '{') counting = true;
    if (!in_class && (c == '*' || c == '+') && i > 0 && quantifier_ends_at + 1 == i) {
      cost.only_some = "it has a quantifier after a quantifier";
    }
    if (!in_class && (c == '*' || c == '+' || c == '}' || (c == '?' && i > 0 && text[i - 1] != '('))) {
      quantifier_ends_at = i;
    }
    if (in_class) {
      const std::string_view before = text.substr(class_begin, i - class_begin);
      if (c == ']' && (before.empty() || before == "^")) cost.only_some = "it has a ']' at the beginning of a '[...]'";
      in_class = c != ']';
      cost.posix_class = cost.posix_class || c == '[';
    } else {
      in_class = c == '[';
      class_begin = i + 1;
      if (c == '(') open.push_back(text.substr(i + 1, 2) == "?=" || text.substr(i + 1, 2) == "?!");
      if (c == ')' && !open.empty()) open.pop_back();
    }
    cost.nesting = std::max(cost.nesting, open.size());
    cost.lookaheads = std::max(cost.lookaheads, static_cast<std::size_t>(std::count(open.begin(), open.end(), true)));
    if (c != '\\') continue;
    ++i;  // what is escaped opens and closes nothing
    const bool letter = i < text.size() && ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z'));
    if (letter && std::string_view("dDsSwWbBtnrfvxu").find(text[i]) == std::string_view::npos) {
      cost.only_some = "it has an escape that not all rules know";
    }
    cost.back_reference = cost.back_reference || (i < text.size() && text[i] >= '1' && text[i] <= '9');
  }
  return cost;
}

/// A regular expression from a file, as far as ECMAScript's and Python's rules agree.
class name_regex {
 public:
  /// Errors: config_error for what isn't one, has a back-reference, or would take much stack or time to be matched.
  name_regex(const char* key, const std::string& text, const std::string& before = {}, const std::string& after = {}) {
    const auto refuse = [&](const std::string& why) {
      throw config_error(
          message({"sbora: ", key, ": '", text.substr(0, 200), "' is no usable regular expression: ", why}));
    };
    const regex_cost cost = cost_of_regex(text);
    if (cost.back_reference) refuse("it has a back-reference");
    if (cost.only_some != nullptr) refuse(cost.only_some);
    if (cost.posix_class) refuse("it has a '[' in a '[...]'");
    if (cost.nesting > 64) refuse("more than 64 nested groups");
    if (cost.lookaheads > 2) refuse("more than 2 nested lookaheads");
    if (cost.size > 4096) refuse("longer than 4096 characters with its repetitions written out");
    // libstdc++'s default matcher recurses for every character and can take exponential time; its other one, which
    // has no back-references, does neither.
    auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
    flags |= std::regex_constants::__polynomial;
#endif
    try {
      regex_.assign(before + text + after, flags);
    } catch (const std::regex_error& error) {
      refuse(error.what());
    }
  }

  bool matches_all_of(std::string_view name) const { return std::regex_match(name.begin(), name.end(), regex_); }

  /// The longest match that begins where `name` does; what its last group has, empty where that took no part.
  std::optional<std::string_view> match_at_front(std::string_view name) const {
    std::match_results<std::string_view::const_iterator> found;
    const auto anchored = std::regex_constants::match_continuous;
    if (!std::regex_search(name.begin(), name.end(), found, regex_, anchored)) return std::nullopt;
    const auto& group = found[found.size() - 1];
    return group.matched ? std::string_view(group.first, group.second) : std::string_view();
  }

 private:
  std::regex regex_;
};

/// Patterns over names and what they set, of which the first that matches counts. A plain name with its special
/// characters escaped, as sbora writes them, takes no regular expression: there may be one for each of many modules.
template <class Value>
class name_patterns {
 public:
  /// Errors: config_error for one that can't be used, or too many that aren't plain names.
  name_patterns(const char* key, const std::vector<module_pattern<Value>>& patterns) {
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const auto& [text, value] = patterns[i];
      if (std::optional<std::string> plain = plain_name(text)) {
        plain_.emplace(std::move(*plain), std::pair(i, value));
        continue;
      }
      if (regexes_.size() == most_patterns) {
        throw config_error(message({"sbora: ", key, " has more than ", most_patterns,
                                    " regular expressions that aren't names (with '\\.' for a dot)"}));
      }
      regexes_.push_back({name_regex(key, text, "(?:.*\\.)?(?:", ")"), i, value});
    }
  }

  std::optional<Value> first_match(std::string_view name) const {
    std::optional<Value> matched;
    std::size_t first = std::string_view::npos;
    if (!plain_.empty()) {
      for_name_suffixes(name, [&](std::string_view suffix) {
        const auto found = plain_.find(std::string(suffix));
        if (found == plain_.end() || found->second.first >= first) return;
        std::tie(first, matched) = found->second;
      });
    }
    for (const auto& [regex, i, value] : regexes_) {
      if (i >= first) break;
      if (regex.matches_all_of(name)) return value;
    }
    return matched;
  }

 private:
  struct numbered_regex {
    name_regex regex;
    std::size_t number;
    Value value;
  };

  /// Nothing where it says more than one name.
  static std::optional<std::string> plain_name(std::string_view text) {
    constexpr std::string_view special = R"(\^$.|?*+()[]{})";
    std::string name;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool escaped = text[i] == '\\';
      if (escaped && (++i == text.size() || special.find(text[i]) == special.npos)) return std::nullopt;
      if (!escaped && special.find(text[i]) != special.npos) return std::nullopt;
      name += text[i];
    }
    return name;
  }

  std::unordered_map<std::string, std::pair<std::size_t, Value>> plain_;  // the first of equal ones
  std::vector<numbered_regex> regexes_;
};

/// The number that `digits` are; nothing where it doesn't fit.
inline std::optional<index_t> layer_number(std::string_view digits) {
  index_t value = 0;
  for (const char digit : digits) {
    if (value > std::numeric_limits<index_t>::max() / 10 - 1) return std::nullopt;
    value = 10 * value + (digit - '0');
  }
  return value;
}

/// The first all-digit part of a dotted name that has two parts before it and one after: PEFT's layer index where
/// no layers_pattern is given.
inline std::optional<index_t> first_layer_number(std::string_view name) {
  int part = 0;
  for (std::size_t begin = 0; begin <= name.size(); ++part) {
    const std::size_t end = name.find('.', begin);
    if (end == std::string_view::npos) break;
    const std::string_view text = name.substr(begin, end - begin);
    if (part >= 2 && !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
      return layer_number(text);
    }
    begin = end + 1;
  }
  return std::nullopt;
}

/// A regular expression's alternatives outside of all brackets.
inline std::vector<std::string> alternatives_of(std::string_view text) {
  std::vector<std::string> alternatives(1);
  int open = 0;
  bool in_class = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '|' && open == 0 && !in_class) {
      alternatives.emplace_back();
      continue;
    }
    alternatives.back() += c;
    if (c == '\\' && i + 1 < text.size()) alternatives.back() += text[++i];
    else if (in_class) in_class = c != ']';
    else if (c == '[') in_class = true;
    else if (c == '(') ++open;
    else if (c == ')') --open;
  }
  return alternatives;
}

/// One of layers_pattern: re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", name), which is its first match.
///
/// Effect      PEFT puts the pattern there as it is, so of several alternatives that no bracket holds only the first
///             one may follow other parts of the name, and only the last one gives a number. The same here.
class layer_pattern {
 public:
  explicit layer_pattern(const std::string& text) {
    const std::vector<std::string> alternatives = alternatives_of(text);
    for (std::size_t i = 0; i < alternatives.size(); ++i) {
      const bool numbered = i + 1 == alternatives.size();
      parts_.emplace_back("layers_pattern", alternatives[i], "(?:", numbered ? ")\\.([0-9]+)\\." : ")()");
    }
  }

  /// Nothing where it doesn't match; the digits, or none, where it does.
  std::optional<std::string_view> match(std::string_view name) const {
    for (std::string_view rest = name;;) {
      if (const auto found = parts_.front().match_at_front(rest)) return found;
      const std::size_t dot = rest.find('.');
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
    }
    for (std::size_t i = 1; i < parts_.size(); ++i) {
      if (const auto found = parts_[i].match_at_front(name)) return found;
    }
    return std::nullopt;
  }

 private:
  std::vector<name_regex> parts_;
};

/// target_modules or exclude_modules.
struct compiled_filter {
  compiled_filter(const module_filter& from, const char* key) : names(from.names), suffixes(from.names) {
    std::sort(names.begin(), names.end());
    if (!from.regex) return;
    constexpr std::string_view linear = "all-linear";  // in capitals too
    all = std::equal(from.regex->begin(), from.regex->end(), linear.begin(), linear.end(),
                     [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
    regex.emplace(key, *from.regex);
  }

  bool has(std::string_view module) const { return std::binary_search(names.begin(), names.end(), module); }
  bool has_suffix(std::string_view module) const { return suffixes.of(module); }
  bool matches(std::string_view module) const { return regex ? regex->matches_all_of(module) : has_suffix(module); }

  std::vector<std::string> names;  // ascending
  name_suffixes suffixes;
  std::optional<name_regex> regex;
  bool all = false;
};

/// See target_rules.
class compiled_rules {
 public:
  explicit compiled_rules(const adapter_config& config)
      : target_(config.target_modules, "target_modules"),
        parameters_(config.target_parameters),
        has_parameters_(!config.target_parameters.empty()),
        exclude_(config.exclude_modules, "exclude_modules"),
        layers_(config.layers_to_transform),
        ranks_("rank_pattern", config.rank_pattern),
        alphas_("alpha_pattern", config.alpha_pattern),
        kinds_("kind_pattern", config.kind_pattern),
        r_(config.r),
        lora_alpha_(config.lora_alpha) {
    std::sort(layers_.begin(), layers_.end());
    if (config.layers_pattern.size() > most_patterns) {
      throw config_error(message({"sbora: layers_pattern has more than ", most_patterns, " patterns"}));
    }
    for (const std::string& pattern : config.layers_pattern) layer_patterns_.emplace_back(pattern);
  }

  bool chooses() const noexcept { return target_.regex || !target_.names.empty() || has_parameters_; }

  bool matches(std::string_view module) const {
    if (const auto member = parse_stack_member(module)) return parameters_.of(member->first);
    if (is_parameter(module)) return true;
    if (exclude_.matches(module)) return false;
    if (target_.regex) return target_.all || target_.regex->matches_all_of(module);
    if (target_.has(module)) return true;
    return target_.has_suffix(module) && (layers_.empty() || has_layer(module));
  }

  index_t rank_of(std::string_view module) const { return first_match(ranks_, module).value_or(r_); }
  double alpha_of(std::string_view module) const { return first_match(alphas_, module).value_or(lora_alpha_); }
  std::optional<adapter_kind> kind_of(std::string_view module) const { return first_match(kinds_, module); }

 private:
  static std::string weight_of(std::string_view module) { return message({module, ".weight"}); }
  bool is_parameter(std::string_view module) const { return has_parameters_ && parameters_.of(weight_of(module)); }

  template <class Value>
  std::optional<Value> first_match(const name_patterns<Value>& patterns, std::string_view module) const {
    if (const std::optional<Value> own = patterns.first_match(module)) return own;
    if (const auto member = parse_stack_member(module)) return patterns.first_match(member->first);
    return is_parameter(module) ? patterns.first_match(weight_of(module)) : std::nullopt;
  }

  bool has_layer(std::string_view module) const {
    std::optional<index_t> layer;
    if (layer_patterns_.empty()) layer = first_layer_number(module);
    for (const layer_pattern& pattern : layer_patterns_) {
      const std::optional<std::string_view> digits = pattern.match(module);
      if (!digits) continue;
      if (!digits->empty()) layer = layer_number(*digits);
      break;
    }
    return layer && std::binary_search(layers_.begin(), layers_.end(), *layer);
  }

  compiled_filter target_;
  name_suffixes parameters_;
  bool has_parameters_;
  compiled_filter exclude_;
  std::vector<index_t> layers_;  // ascending
  std::vector<layer_pattern> layer_patterns_;
  name_patterns<index_t> ranks_;
  name_patterns<double> alphas_;
  name_patterns<adapter_kind> kinds_;
  index_t r_;
  double lora_alpha_;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF target_rules::target_rules(const adapter_config& config)
    : rules_(std::make_shared<const detail::compiled_rules>(config)) {}
SBORA_INSTANCE_OF bool target_rules::chooses() const noexcept { return rules_->chooses(); }
SBORA_INSTANCE_OF bool target_rules::matches(std::string_view module) const { return rules_->matches(module); }
SBORA_INSTANCE_OF index_t target_rules::rank_of(std::string_view module) const { return rules_->rank_of(module); }
SBORA_INSTANCE_OF double target_rules::alpha_of(std::string_view module) const { return rules_->alpha_of(module); }
SBORA_INSTANCE_OF std::optional<adapter_kind> target_rules::kind_of(std::string_view module) const {
  return rules_->kind_of(module);
}

}  // namespace sbora::inline SBORA_ABI
