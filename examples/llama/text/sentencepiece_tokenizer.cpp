#include "text/sentencepiece_tokenizer.hpp"

#include "input_error.hpp"

#ifdef LLAMA_HAS_SENTENCEPIECE

#include <sentencepiece_processor.h>

#include "text/special_tokens.hpp"

namespace llama {

struct sentencepiece_tokenizer::processor {
  sentencepiece::SentencePieceProcessor model;
};

sentencepiece_tokenizer::sentencepiece_tokenizer(const std::filesystem::path& directory)
    : processor_(std::make_unique<processor>()) {
  const std::string path = (directory / "tokenizer.model").string();
  sentencepiece::SentencePieceProcessor& model = processor_->model;
  if (const auto status = model.Load(path); !status.ok()) {
    throw input_error(path + ": not a SentencePiece model: " + status.ToString());
  }
  const special_tokens special = read_special_tokens(directory, [&](const std::string& text) {
    const int id = model.PieceToId(text);
    return model.IdToPiece(id) == text ? std::optional(id) : std::nullopt;  // unknown pieces get unk's id
  });
  bos_ = special.bos;
  eos_ = special.eos;
  if (!bos_ && model.bos_id() >= 0) bos_ = model.bos_id();
  if (!eos_ && model.eos_id() >= 0) eos_ = model.eos_id();
  if (special.add_bos && bos_) before_ = {*bos_};
  if (special.add_eos && eos_) after_ = {*eos_};
  begins_with_space_ = !model.EncodeAsIds("a").empty() && bytes(model.EncodeAsIds("a").front()).starts_with(' ');
}

token_ids sentencepiece_tokenizer::encode_text(std::string_view text) const {
  return processor_->model.EncodeAsIds({text.data(), text.size()});
}

std::string sentencepiece_tokenizer::bytes(token_id id) const {
  const sentencepiece::SentencePieceProcessor& model = processor_->model;
  if (id < 0 || id >= model.GetPieceSize() || model.IsControl(id) || model.IsUnknown(id)) return {};
  if (model.IsByte(id)) {  // "<0x0A>"
    return {static_cast<char>(std::stoi(model.IdToPiece(id).substr(3, 2), nullptr, 16))};
  }
  constexpr std::string_view space = "\xE2\x96\x81";  // U+2581
  std::string piece = model.IdToPiece(id);
  for (std::size_t at; (at = piece.find(space)) != std::string::npos;) piece.replace(at, space.size(), " ");
  return piece;
}

index_t sentencepiece_tokenizer::size() const { return processor_->model.GetPieceSize(); }

}  // namespace llama

#else

namespace llama {

struct sentencepiece_tokenizer::processor {};

sentencepiece_tokenizer::sentencepiece_tokenizer(const std::filesystem::path& directory) {
  throw input_error((directory / "tokenizer.model").string() +
                    ": needs SentencePiece, without which this program was built (Debian: libsentencepiece-dev)");
}
token_ids sentencepiece_tokenizer::encode_text(std::string_view) const { return {}; }
std::string sentencepiece_tokenizer::bytes(token_id) const { return {}; }
index_t sentencepiece_tokenizer::size() const { return 0; }

}  // namespace llama

#endif

namespace llama {

sentencepiece_tokenizer::~sentencepiece_tokenizer() = default;

}  // namespace llama
