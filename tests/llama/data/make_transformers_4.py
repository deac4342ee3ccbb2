#!/usr/bin/env python3
"""Writes llama2/tokenizer.json and transformers_4.json: what transformers 4 reads from sentencepiece/tokenizer.model,
or from that tokenizer.json, with various files beside it.

pip install 'transformers==4.48.0' sentencepiece protobuf; then: python3 tests/llama/data/make_transformers_4.py
make_vectors.py goes first: it makes the tokenizer.model.
"""
import json
import pathlib
import shutil
import tempfile

from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent

PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
LLAMA1 = {role: {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
          for role, content in [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")]}
CHATML = {"added_tokens.json": {"<|im_start|>": 560, "<|im_end|>": 561},
          "tokenizer_config.json": {"eos_token": "<|im_end|>"}}

# Files beside tokenizer.model; tokenizer_config.json has the class in each.
MODEL_CASES = [
    {},
    {"tokenizer_config.json": {"legacy": True}},
    {"tokenizer_config.json": {"legacy": False}},
    {"tokenizer_config.json": {"add_bos_token": False, "add_eos_token": True, "legacy": False}},
    {"tokenizer_config.json": {"add_eos_token": True}},
    CHATML,
    {**CHATML, "tokenizer_config.json": {"eos_token": "<|im_end|>", "legacy": False}},
    {"special_tokens_map.json": LLAMA1},
    {"special_tokens_map.json": LLAMA1 | {"pad_token": "[PAD]", "additional_special_tokens": ["<a>", "<b>"]}},
    {"tokenizer_config.json": {"added_tokens_decoder": {
        "560": PLAIN | {"content": "<left>", "lstrip": True}, "561": PLAIN | {"content": "<right>", "rstrip": True},
        "562": PLAIN | {"content": "<alone>", "single_word": True},
        "563": PLAIN | {"content": "<normal>", "normalized": True, "special": False}}, "legacy": False}},
    {"tokenizer_config.json": {"added_tokens_decoder": {"570": PLAIN | {"content": "<far>"}}}},
]
# Files beside tokenizer.json, which has no template.
JSON_CASES = [
    {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}},
    {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "add_eos_token": True}},
    {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}},
    {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                               "add_bos_token": True}},
    {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"},
     "added_tokens.json": {"<more>": 560}},
]


def texts(tokens):
    result = ["", "so that", " so that", "  so  that  ", "\u2581so", "<s>not</s> <unk>"]
    for token in tokens:
        result += [token, f"so{token}that", f"so {token} that", f" {token}  that\n", f"{token}{token}\n{token}",
                   token[:-1]]
    return result


def case(files, folder, source):
    shutil.copy(HERE / source, folder)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vectors = [{"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"],
                "with_special": tokenizer(text)["input_ids"]} for text in texts(list(tokenizer.get_added_vocab()))]
    return {"source": source, "files": files, "eos": tokenizer.eos_token_id, "vectors": vectors}


def main():
    cases = []
    for files in MODEL_CASES:
        config = {"tokenizer_class": "LlamaTokenizer"} | files.get("tokenizer_config.json", {})
        with tempfile.TemporaryDirectory() as folder:
            cases.append(case(files | {"tokenizer_config.json": config}, pathlib.Path(folder),
                              "sentencepiece/tokenizer.model"))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "sentencepiece/tokenizer.model", folder)
        (pathlib.Path(folder) / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
        file = json.loads(AutoTokenizer.from_pretrained(folder)._tokenizer.to_str())
    file["post_processor"] = None
    (HERE / "llama2").mkdir(exist_ok=True)
    (HERE / "llama2/tokenizer.json").write_text(json.dumps(file))
    for files in JSON_CASES:
        with tempfile.TemporaryDirectory() as folder:
            cases.append(case(files, pathlib.Path(folder), "llama2/tokenizer.json"))
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "transformers_4.json").write_text("[\n" + lines + "\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
