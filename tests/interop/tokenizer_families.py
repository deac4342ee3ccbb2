"""Small tokenizers of every family: its real normaliser, pre-tokeniser, model, post-processor and decoder over a tiny
vocabulary, trained here. One function a family and shape; each writes a folder and returns what transformers or
tokenizers reads it with."""

import json
import pathlib
import random
import unicodedata

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# GPT-4o's, which Phi-4-mini has.
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Mistral's Tekken.
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# DeepSeek-V3 and R1, step by step.
DEEPSEEK3 = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
             r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
             r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
# DeepSeek-LLM and Coder. The letters are those of scripts with cases, as code points: some look like others.
CASED = ("A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
         "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-"
         "\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
         "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
         "\u2c00-\u2c7b\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U0001e900-\U0001e943")
DEEPSEEK_LLM = [r"[\r\n]", rf"\s?[{CASED}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", r"[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+"]

WORDS = ("the answer is so that they were apples in each basket she has how many more than left after buying some "
         "pencils instruction response below describes task write appropriately completes request true false right "
         "question tomorrow between already together don't we'll Straße naïve café Привет мир 你好 世界 こんにちは "
         "한국어 مرحبا नमस्ते ελληνικά").split()


def corpus():
    draw = random.Random(7)
    lines = []
    for _ in range(600):
        words = [draw.choice(WORDS) for _ in range(draw.randrange(4, 14))]
        words.insert(draw.randrange(len(words)), str(draw.randrange(20000)))
        end = draw.choice([".", "?", "!", " – it's done.", "\n", "  \n\n\tx = 1;"])
        lines.append(" ".join(words).capitalize() + end)
    return lines


def train(tokenizer, special=(), **options):
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=options.pop("vocab_size", 700), show_progress=False, special_tokens=list(special), **options))
    return tokenizer


def byte_level(split, **model):
    """Byte-level BPE with a Sequence of Splits before it."""
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        *[pre_tokenizers.Split(Regex(one), "isolated") for one in split],
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


BYTES = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}


def template(tokenizer, bos, eos=None):
    single = f"{bos} $A" + (f" {eos}" if eos else "")
    return processors.TemplateProcessing(
        single=single, pair=f"{single} {bos}:1 $B:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (bos, eos) if token])


def special(*contents, **options):
    return [AddedToken(content, special=True, normalized=False, **options) for content in contents]


def llama2_v4(legacy):
    """LLaMA-1/2, TinyLlama, Mistral-7B and Phi-3 as transformers 4 writes them: SentencePiece's BPE in JSON."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(prefix)
    alphabet = sorted(set("".join(corpus()).replace(" ", "▁")))[:150]
    train(tokenizer, special("<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]),
          vocab_size=1000, limit_alphabet=150, initial_alphabet=alphabet)
    tokenizer = without_added(tokenizer)
    if not legacy:
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    tokenizer.add_tokens(special("<unk>", "<s>", "</s>"))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer


def without_added(tokenizer):
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(description))


def tinyllama():
    return llama2_v4(True)


def llama2():
    return llama2_v4(False)


def phi3():
    """LLaMA-2's, with tokens that take white space along."""
    tokenizer = llama2_v4(True)
    tokenizer.add_tokens([AddedToken("</s>", rstrip=True, normalized=False), *special("<|endoftext|>"),
                          *special("<|assistant|>", "<|user|>", "<|end|>", rstrip=True)])
    return tokenizer


def llama3():
    tokenizer = train(byte_level([LLAMA3], ignore_merges=True),
                      ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], **BYTES)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                    template(tokenizer, "<|begin_of_text|>")])
    return tokenizer


def qwen():
    tokenizer = byte_level([QWEN], continuing_subword_prefix="", end_of_word_suffix="")
    tokenizer.normalizer = normalizers.NFC()
    train(tokenizer, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], **BYTES)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False),
                          AddedToken("<think>", normalized=False), AddedToken("<café>", normalized=True)])
    return tokenizer


def smollm():
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return train(tokenizer, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def phi2():
    """CodeGen's, which Phi-1 to 2 have: runs of blanks as added tokens that aren't normalised."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    train(tokenizer, ["<|endoftext|>"], **BYTES)
    tokenizer.add_tokens([*[" " * count for count in range(2, 8)], "\t\t", "\t\t\t"])
    return tokenizer


def phi4():
    return train(byte_level([O200K]), special("<|endoftext|>", "<|im_start|>", "<|im_sep|>", rstrip=True, lstrip=True),
                 **BYTES)


def mistral_tekken():
    tokenizer = train(byte_level([TEKKEN], ignore_merges=True), ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], **BYTES)
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer


def gemma():
    """Blanks marked, split behind each, byte fallback; runs of blanks and of lines are added tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    train(tokenizer, special("<pad>", "<eos>", "<bos>", "<unk>", *[f"<0x{byte:02X}>" for byte in range(256)]),
          vocab_size=1000, limit_alphabet=150)
    tokenizer = without_added(tokenizer)
    tokenizer.add_tokens(special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"))
    tokenizer.add_tokens([AddedToken(content, normalized=False)
                          for content in ["\n\n", "\n\n\n", "▁▁", "▁▁▁▁", "<table>", "</table>", "<h1>"]])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = template(tokenizer, "<bos>")
    return tokenizer


def deepseek_v3():
    tokenizer = byte_level(DEEPSEEK3)
    tokenizer.normalizer = normalizers.Sequence([])
    train(tokenizer, ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], **BYTES)
    tokenizer.add_tokens([AddedToken("<｜User｜>", normalized=False), AddedToken("<think>", normalized=False),
                          AddedToken("<｜fim▁hole｜>", normalized=True)])
    tokenizer.post_processor = processors.Sequence([template(tokenizer, "<｜begin▁of▁sentence｜>"),
                                                    processors.ByteLevel(trim_offsets=False)])
    return tokenizer


def deepseek_steps(split):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        *[pre_tokenizers.Split(Regex(one), "isolated") for one in split], pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], **BYTES)
    tokenizer.add_tokens([AddedToken("ø", normalized=True), AddedToken("<pad>", normalized=True)])
    tokenizer.post_processor = template(tokenizer, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
    return tokenizer


def deepseek_llm():
    return deepseek_steps(DEEPSEEK_LLM)


def deepseek_coder():
    return deepseek_steps(DEEPSEEK_CODER)


# No model's, but every part that is supported, as tokenizers has it.

def every_normaliser():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(left=True, right=True), normalizers.NFKD(), normalizers.Lowercase(), normalizers.NFKC(),
        normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.Replace(Regex("q*$"), "y"), normalizers.Prepend("_")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(),
                                                       pre_tokenizers.Punctuation("contiguous")])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    train(tokenizer, ["<unk>"], limit_alphabet=60, end_of_word_suffix="</w>", continuing_subword_prefix="##")
    tokenizer.add_tokens([AddedToken("Word", single_word=True), AddedToken("[L]", lstrip=True, normalized=False),
                          AddedToken("[R]", rstrip=True, normalized=False), AddedToken("[B]", lstrip=True, rstrip=True),
                          AddedToken("[S]", single_word=True, normalized=False, special=True)])
    return tokenizer


def split_behaviours():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("e", "merged_with_next"), pre_tokenizers.Split(Regex("[ab]"), "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\d"), "contiguous"),
        pre_tokenizers.Split(Regex(r"\p{L}+|\p{M}+"), "removed", invert=True),
        pre_tokenizers.CharDelimiterSplit("r"), pre_tokenizers.Digits(False)])
    return train(tokenizer, ["<unk>"], limit_alphabet=40)


def metaspace_always():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Metaspace("▁", "always", True)])
    tokenizer.decoder = decoders.Metaspace("▁", "always", True)
    return train(tokenizer, special("<unk>", "<s>"), limit_alphabet=60)


def byte_level_normaliser():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<s>"], **BYTES)
    tokenizer.add_tokens([AddedToken(" added", normalized=True)])
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", True)
    tokenizer.decoder = decoders.Metaspace("▁", "first", True)
    tokenizer.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=400, unk_token="<unk>", special_tokens=["<s>", "<unk>"], show_progress=False))
    description = json.loads(tokenizer.to_str())
    # So that sums are exact: ties are ties for all, and Rust's JSON may round a score's last bit.
    description["model"]["vocab"] = [[token, round(score * 1024) / 1024]
                                     for token, score in description["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(description))


FAMILIES = [tinyllama, llama2, phi3, llama3, qwen, smollm, phi2, phi4, mistral_tekken, gemma, deepseek_v3, deepseek_llm,
            deepseek_coder, every_normaliser, split_behaviours, metaspace_always, byte_level_normaliser, unigram]


def sentencepiece_model(folder):
    """As LLaMA's was made: BPE, bytes for unknown characters, digits one by one, blanks kept."""
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.strip("\n") for line in corpus()), model_prefix=str(folder / "tokenizer"),
        vocab_size=700, model_type="bpe", byte_fallback=True, split_digits=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", allow_whitespace_only_pieces=True, character_coverage=0.99, minloglevel=2)
    (folder / "tokenizer.vocab").unlink()


ASSIGNED = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn")]
SCRIPTS = ["abc xyz ABC ", "0123456789²½Ⅷ٣५", " \t\n\r\v\f\u0085\u00a0\u2003\u2028\u3000\u200b\u200d\ufeff",
           "áâãäßøžſİıŒﬁ", "αβγΣσςЖйЁ", "你好世界，。！", "ぁァー々カ゛", "한국ᄒᆞᆫ", "ابتثمرح", "नमस्ते",
           "e\u0301a\u030a\u0323o\u0328\u0304",
           "😀👨‍👩‍👧🇩🇪👍🏽❤️", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "▁Ġ", "'s't're'll'D",
           "\x00\x01\x1f\x7f\ufffd\ue000\uffff"]


def random_texts(tokens, count, seed):
    """Mixtures of everything, with the tokenizer's own tokens in any place."""
    draw = random.Random(seed)
    texts = ["", " ", "  ", "\n", *tokens, *[f" {token} " for token in tokens],
             *[f"a{token}b {token}  c" for token in tokens]]
    while len(texts) < count:
        parts = []
        for _ in range(draw.randrange(1, 9)):
            kind = draw.random()
            if kind < 0.25 and tokens:
                parts.append(draw.choice(tokens))
            elif kind < 0.4:
                parts.append(draw.choice(WORDS))
            elif kind < 0.55:
                parts.append("".join(draw.choice(ASSIGNED) for _ in range(draw.randrange(1, 5))))
            elif kind < 0.7:
                parts.append(draw.choice([" ", "  ", "\n", " \n ", "\t", "\r\n", "    "]))
            else:
                script = draw.choice(SCRIPTS)
                parts.append("".join(draw.choice(script) for _ in range(draw.randrange(1, 7))))
        texts.append("".join(parts))
    return texts[:count]


def task_texts(count):
    """The paper's task data, where it is there."""
    texts = []
    above = [parent / "shared" / "data" for parent in pathlib.Path(__file__).parents]
    for file in sorted(file for folder in above for file in folder.glob("*/*.json")):
        rows = json.loads(file.read_text(encoding="utf-8"))
        texts += [row["instruction"] + " " + row.get("output", "") for row in rows[:: max(1, len(rows) * 10 // count)]]
    return texts[:count]
