#!/usr/bin/env python3
"""Writes the small tokenizers beside this file, and vectors.json: what the real packages make of some texts.

pip install tokenizers sentencepiece; then: python3 tests/llama/data/make_vectors.py
The vectors in the repository come from tokenizers 0.23.3 and sentencepiece 0.2.3.
"""
import json
import pathlib
import random

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "", " ", "a", "  a", "a  ", "\n", "\n\n  \n", "\t\tindented", "trailing   ", " \u00a0 \u2003x\u3000",
    "vertical\x0btab, form\x0cfeed, next\u0085line", " \x0b \x0b", "a \u0085\u0085b", "zero\u200bwidth\u200d joiner",
    "Hello, world!", "There are 12345678 apples, 3.14 pies and -7 plums.", "1 22 333 4444 55555", "x1y22z333",
    "I'll say we're here; it's what they've told 'em, I'm sure he'd won't.", "DON'T SHOUT, IT'S RUDE, WE'LL SEE",
    "'\u017fharp long s, It'\u017f", "don\u2019t mix the apostrophes", "a'b'c''d", "'s't're've'm'll'd",
    "Below is an instruction that describes a task.  \n\n                ### Instruction:\n                Add.\n"
    "                \n                ### Response:\n                42",
    "na\u00efve caf\u00e9, cafe\u0301, \u00c5ngstr\u00f6m, A\u030angstro\u0308m, \ufb01ne \ufb03 \u2460\u00bd\u2167",
    "Stra\u00dfe \u1e9e, \u0130stanbul \u0131, \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u662f2024\u5e741\u6708\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c \uff11\uff12\uff13 \u30ab\u30bf\u30ab\u30ca",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03ac\u03b4\u03b1",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0661\u0662\u0663",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0967\u0968\u0969",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd",
    "\U0001d54f\U0001d7d8 \U00020000 \ue000 \uffff \ufffd", "\u0000 and \u001f \u007f", "a\r\nb\rc\n\rd",
    "int main() { return x[0] != y->z ? 1 : 0; }  // !!!???...", "https://a.b/c?d=e&f=%20", "#$%&@^~`|\\ \"quoted\"",
    "<|begin_of_text|>specials<|eot_id|> in <|eot_id|><|end_of_text|>text", "<|eot_i", "<s>not</s> <unk>",
    "<tool>a cafe\u0301 <tool_call>b</tool>", "caf\u00e9<caf\u00e9> cafe\u0301<cafe\u0301>",
    "word " * 40, "ab" * 60, " " * 100, "!" * 70, "7" * 50, "\u2581 \u2581\u2581lower one eighth block\u2581",
]

WORDS = ("the answer is so that they were apples in each basket she has how many more than left after buying "
         "some pencils instruction response below describes task write appropriately completes request true false "
         "right question tomorrow between already together").split()


def corpus():
    """Text to train on: the same at every run."""
    draw = random.Random(7)
    lines = []
    for i in range(1500):
        words = [draw.choice(WORDS) for _ in range(draw.randrange(4, 14))]
        words.insert(draw.randrange(len(words)), str(draw.randrange(2000)))
        lines.append(" ".join(words).capitalize() + draw.choice([".", "?", "!", " \u2013 it's done.", "\n"]))
    return lines + [text for text in TEXTS for _ in range(4)]


def byte_level_bpe(name, tokenizer, special, alphabet=True):
    trainer = trainers.BpeTrainer(
        vocab_size=600, show_progress=False, special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [])
    tokenizer.train_from_iterator(corpus(), trainer)
    return name, tokenizer


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    made = byte_level_bpe("llama3", tokenizer, ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])])
    return made


def smollm():
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return byte_level_bpe("smollm", tokenizer, ["<|endoftext|>", "<|im_start|>"], alphabet=False)


def qwen():
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    made = byte_level_bpe("qwen", tokenizer, ["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, special=False),
                          AddedToken("<tool_call>", normalized=False, special=False),
                          AddedToken("<caf\u00e9>", normalized=True, special=False)])
    return made


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    made = byte_level_bpe("gpt2", tokenizer, ["<|endoftext|>"], alphabet=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)])
    return made


def sentencepiece_model(folder):
    """As LLaMA's was made: BPE, bytes for unknown characters, digits one by one, blanks kept."""
    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in corpus() for line in [text] if line.strip()),
        model_prefix=str(folder / "tokenizer"), vocab_size=560, model_type="bpe", byte_fallback=True,
        split_digits=True, remove_extra_whitespaces=False, normalization_rule_name="identity",
        allow_whitespace_only_pieces=True, character_coverage=0.999, minloglevel=2)
    (folder / "tokenizer.vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def main():
    vectors = {}
    for name, tokenizer in [llama3(), smollm(), qwen(), gpt2()]:
        (HERE / name).mkdir(exist_ok=True)
        tokenizer.save(str(HERE / name / "tokenizer.json"), pretty=False)
        vectors[name] = []
        for text in TEXTS:
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            vectors[name].append({"text": text, "ids": plain, "with_special": tokenizer.encode(text).ids,
                                  "decoded": tokenizer.decode(plain, skip_special_tokens=True)})
    model = sentencepiece_model(HERE / "sentencepiece")
    # Special tokens in a text are text for sentencepiece alone, not for transformers: make_transformers_4.py.
    vectors["sentencepiece"] = [
        {"text": text, "ids": model.encode(text), "with_special": [model.bos_id()] + model.encode(text),
         "decoded": model.decode(model.encode(text))} for text in TEXTS if "<s>" not in text]
    with open(HERE / "vectors.json", "w", encoding="ascii") as file:
        # A vector a line.
        names = [json.dumps(name) + ": [\n" + ",\n".join(json.dumps(vector) for vector in vectors[name]) + "\n]"
                 for name in vectors]
        file.write("{\n" + ",\n".join(names) + "\n}\n")


if __name__ == "__main__":
    main()
