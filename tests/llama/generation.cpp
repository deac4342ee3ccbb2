#include "support/catch.hpp"

#include <optional>
#include <span>
#include <vector>

#include "text/byte_tokenizer.hpp"
#include "model/generation.hpp"
#include "model/model.hpp"

using llama::byte_tokenizer;
using llama::index_t;
using llama::token_ids;

namespace {

/// Says the letters after a prompt's last one, up to 'e', and then ends, again and again.
class alphabet_decoder {
 public:
  const llama::matrix& prefill(const llama::token_batch& prompts, index_t new_tokens) {
    room = new_tokens;
    std::vector<std::int32_t> last;
    for (index_t row = 0; row < prompts.sequences; ++row) {
      last.push_back(prompts.tokens[static_cast<std::size_t>((row + 1) * prompts.length - 1)]);
    }
    masks = prompts.mask;
    return answer(last);
  }
  const llama::matrix& step(std::span<const std::int32_t> tokens) {
    batches.push_back(std::ssize(tokens));
    return answer({tokens.begin(), tokens.end()});
  }
  void keep(std::span<const index_t> sequences) { kept.emplace_back(sequences.begin(), sequences.end()); }

  index_t room = 0;
  std::vector<index_t> batches;  // sizes, of every step
  std::vector<std::vector<index_t>> kept;
  std::vector<std::uint8_t> masks;

 private:
  const llama::matrix& answer(const std::vector<std::int32_t>& last) {
    logits_ = llama::matrix::Zero(std::ssize(last), byte_tokenizer::vocabulary);
    for (index_t row = 0; row < std::ssize(last); ++row) {
      const std::int32_t token = last[static_cast<std::size_t>(row)];
      logits_(row, token >= 'e' ? byte_tokenizer::end : token + 1) = 1;
    }
    return logits_;
  }

  llama::matrix logits_;
};

}  // namespace

TEST_CASE("generation stops at the end of sequence or at the limit, sequence by sequence") {
  const std::vector<token_ids> prompts = {{'x', 'c'}, {'a'}, {'e'}};
  alphabet_decoder decoder;
  CHECK(llama::generate(decoder, prompts, 10, byte_tokenizer::end) ==
        std::vector<token_ids>{{'d', 'e'}, {'b', 'c', 'd', 'e'}, {}});
  CHECK(decoder.room == 10);
  CHECK(decoder.batches == std::vector<index_t>{2, 2, 1, 1});
  CHECK(decoder.kept == std::vector<std::vector<index_t>>{{0, 1}, {1}});  // 'e' ended at once, then 'c'
  CHECK(decoder.masks == std::vector<std::uint8_t>{1, 1, 0, 1, 0, 1});
  CHECK(llama::generate(decoder, prompts, 2, byte_tokenizer::end) ==
        std::vector<token_ids>{{'d', 'e'}, {'b', 'c'}, {}});
  CHECK(llama::generate(decoder, prompts, 0, byte_tokenizer::end) == std::vector<token_ids>(3));
  CHECK(llama::generate(decoder, {{'d'}}, 3, std::nullopt) ==
        std::vector<token_ids>{{'e', byte_tokenizer::end, byte_tokenizer::end}});
}

TEST_CASE("a model says the same to a prompt alone and beside others") {
  llama::model_config config;
  config.vocab_size = byte_tokenizer::vocabulary;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  llama::model net = llama::model::random(config, 3);
  llama::thread_pool pool(2);
  llama::decoder decoder(net, pool);
  const byte_tokenizer bytes;
  const std::vector<token_ids> prompts = {bytes.encode("What is 2 + 3?", true), bytes.encode("Add.", true)};
  const auto together = llama::generate(decoder, prompts, 12, byte_tokenizer::end);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    CHECK(llama::generate(decoder, {prompts[i]}, 12, byte_tokenizer::end).front() == together[i]);
  }
}
