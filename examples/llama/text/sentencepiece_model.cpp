#include "text/sentencepiece_model.hpp"

#include "common/error.hpp"

#ifdef LLAMA_HAS_SENTENCEPIECE

#include <sentencepiece_processor.h>

#include "common/json_file.hpp"

namespace llama {

struct sentencepiece_model::processor {
  sentencepiece::SentencePieceProcessor model;
};

namespace {

constexpr std::string_view visible_space = "\xE2\x96\x81";  // U+2581

void load(sentencepiece::SentencePieceProcessor& model, const std::string& bytes, const std::string& path) {
  if (const auto status = model.LoadFromSerializedProto(bytes); !status.ok()) {
    throw input_error(path + ": not a SentencePiece model: " + status.ToString());
  }
}

}  // namespace

sentencepiece_model::sentencepiece_model(const std::filesystem::path& path)
    : processor_(std::make_unique<processor>()) {
  sentencepiece::SentencePieceProcessor& model = processor_->model;
  const std::string bytes = read_file(path);
  load(model, bytes, path.string());
  std::vector<std::string> pieces;
  model.Encode("  a", &pieces).IgnoreError();
  std::string text;
  for (const std::string& each : pieces) text += each;
  wants_prefix_ =
      text.starts_with(std::string(visible_space) + std::string(visible_space) + std::string(visible_space));
  // A field once more at the end of a protocol buffer overrides it: normalizer_spec.add_dummy_prefix = false.
  if (wants_prefix_) load(model, bytes + std::string("\x1A\x02\x18\x00", 4), path.string());
}

void sentencepiece_model::encode(std::string_view word, token_ids& ids) const {
  const std::vector<int> encoded = processor_->model.EncodeAsIds({word.data(), word.size()});
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

std::optional<token_id> sentencepiece_model::id_of(const std::string& token) const {
  const int id = processor_->model.PieceToId(token);
  // Unknown pieces get unk's id.
  return processor_->model.IdToPiece(id) == token ? std::optional(id) : std::nullopt;
}

std::optional<std::string> sentencepiece_model::token_of(token_id id) const {
  return id >= 0 && id < count() ? std::optional(processor_->model.IdToPiece(id)) : std::nullopt;
}

index_t sentencepiece_model::count() const { return processor_->model.GetPieceSize(); }

std::optional<token_id> sentencepiece_model::bos() const {
  const int id = processor_->model.bos_id();
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::optional<token_id> sentencepiece_model::eos() const {
  const int id = processor_->model.eos_id();
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::vector<sentencepiece_model::piece> sentencepiece_model::control_pieces() const {
  std::vector<piece> result;
  for (token_id id = 0; id < count(); ++id) {
    if (!processor_->model.IsControl(id)) continue;
    result.push_back({{.content = processor_->model.IdToPiece(id), .normalized = false, .special = true}, id});
  }
  return result;
}

}  // namespace llama

#else

namespace llama {

struct sentencepiece_model::processor {};

sentencepiece_model::sentencepiece_model(const std::filesystem::path& path) {
  throw input_error(path.string() +
                    ": needs SentencePiece, without which this program was built (Debian: libsentencepiece-dev)");
}
void sentencepiece_model::encode(std::string_view, token_ids&) const {}
std::optional<token_id> sentencepiece_model::id_of(const std::string&) const { return std::nullopt; }
std::optional<std::string> sentencepiece_model::token_of(token_id) const { return std::nullopt; }
index_t sentencepiece_model::count() const { return 0; }
std::optional<token_id> sentencepiece_model::bos() const { return std::nullopt; }
std::optional<token_id> sentencepiece_model::eos() const { return std::nullopt; }
std::vector<sentencepiece_model::piece> sentencepiece_model::control_pieces() const { return {}; }

}  // namespace llama

#endif

namespace llama {

sentencepiece_model::~sentencepiece_model() = default;

}  // namespace llama
