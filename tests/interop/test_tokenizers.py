"""The fine-tuner's tokenizers (examples/llama/text) beside tokenizers and transformers: ids and decoded texts."""

import json
import shutil

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, TokenizersBackend

import tokenizer_families as families
from driver import Refused

TEXTS = 10000


def compare(sbora, folder, texts, theirs):
    """All ids and decoded texts equal; returns what else sbora says of the tokenizer."""
    texts_file, out = sbora.folder / "texts.json", sbora.folder / "out.json"
    texts_file.write_text(json.dumps(texts))
    sbora("tokenize", folder, texts_file, out)
    ours = json.loads(out.read_text())
    plain = [encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=False)]
    expected = {"ids": plain, "with_special": [encoding.ids for encoding in theirs.encode_batch(texts)],
                "decoded": theirs.decode_batch(plain)}
    for field, values in expected.items():
        wrong = [i for i, value in enumerate(values) if ours[field][i] != value]
        assert not wrong, (f"{field} of {len(wrong)} texts, first {texts[wrong[0]]!a}: {ours[field][wrong[0]]}, "
                           f"expected {values[wrong[0]]}")
    return ours


def added(tokenizer):
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.__name__)
def test_a_tokenizer_json(sbora, family):
    folder = sbora.folder / "tokenizer"
    folder.mkdir()
    family().save(str(folder / "tokenizer.json"))
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    compare(sbora, folder, families.random_texts(added(theirs), TEXTS, 1) + families.task_texts(300), theirs)


# What stands beside the tokenizer.json, as transformers 4 writes it, for the families that have their own class.
CONFIGS = {
    "tinyllama": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "legacy": True,
                  "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
    "llama3": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
               "eos_token": "<|eot_id|>"},
    "qwen": {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<|im_end|>",
             "pad_token": "<|endoftext|>", "add_bos_token": False, "add_prefix_space": False},
    "smollm": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
               "unk_token": "<|endoftext|>", "add_prefix_space": False, "vocab_size": 700},
    "gemma": {"tokenizer_class": "GemmaTokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
              "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False},
    "mistral_tekken": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"},
    "deepseek_v3": {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True, "add_eos_token": False,
                    "bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>", "legacy": True},
}


def write_version_4(folder, name, tokenizer):
    """tokenizer.json, tokenizer_config.json with all added tokens, special_tokens_map.json."""
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    decoder = {str(id): {"content": token.content, "lstrip": token.lstrip, "normalized": token.normalized,
                         "rstrip": token.rstrip, "single_word": token.single_word, "special": token.special}
               for id, token in tokenizer.get_added_tokens_decoder().items()}
    config = CONFIGS[name] | {"added_tokens_decoder": decoder, "clean_up_tokenization_spaces": False,
                              "model_max_length": 1000}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {role: token for role, token in config.items() if role.endswith("_token") and isinstance(token, str)}))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_of_transformers_4(sbora, name):
    folder = sbora.folder / "version_4"
    write_version_4(folder, name, getattr(families, name)())
    theirs = TokenizersBackend.from_pretrained(folder)
    ours = compare(sbora, folder, families.random_texts(list(theirs.get_added_vocab()), 2000, 2), theirs._tokenizer)
    assert (ours.get("bos"), ours.get("eos")) == (theirs.bos_token_id, theirs.eos_token_id)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_of_transformers_5(sbora, name):
    """Read as transformers 4's by the family's own class, and saved again. Where that class doesn't go by the file that
    it wrote (LLaMA's forgets "legacy") the file counts."""
    old, folder = sbora.folder / "version_4", sbora.folder / "version_5"
    write_version_4(old, name, getattr(families, name)())
    AutoTokenizer.from_pretrained(old).save_pretrained(folder)
    theirs = (TokenizersBackend if name == "tinyllama" else AutoTokenizer).from_pretrained(folder)
    ours = compare(sbora, folder, families.random_texts(list(theirs.get_added_vocab()), 2000, 3), theirs._tokenizer)
    assert (ours.get("bos"), ours.get("eos")) == (theirs.bos_token_id, theirs.eos_token_id)


BESIDE = {
    "nothing": {},
    "ChatML in added_tokens.json": {
        "added_tokens.json": {"<|im_start|>": 700, "<|im_end|>": 701},
        "tokenizer_config.json": {"eos_token": "<|im_end|>"}},
    "special_tokens_map.json over tokenizer_config.json": {
        "special_tokens_map.json": {"eos_token": {"content": "<end>", "lstrip": True, "rstrip": True,
                                                  "normalized": False, "single_word": False},
                                    "additional_special_tokens": ["<a>", "<b>"]},
        "tokenizer_config.json": {"eos_token": "</s>", "pad_token": "[PAD]"}},
    "added_tokens_decoder over all": {
        "tokenizer_config.json": {"added_tokens_decoder": {
            "702": {"content": "<|late|>", "special": False, "normalized": True, "lstrip": False, "rstrip": False,
                    "single_word": True},
            "700": {"content": "<|early|>", "special": True, "normalized": False, "lstrip": False, "rstrip": True,
                    "single_word": False}}},
        "special_tokens_map.json": {"eos_token": "<unread>"}, "added_tokens.json": {"<unread too>": 703}},
    "an end of sequence": {"tokenizer_config.json": {"add_bos_token": False, "add_eos_token": True}},
    "both": {"tokenizer_config.json": {"add_bos_token": True, "add_eos_token": True}},
    "split special tokens": {"tokenizer_config.json": {"split_special_tokens": True}},
    "extra special tokens": {"tokenizer_config.json": {
        "extra_special_tokens": ["<x>", {"__type": "AddedToken", "content": "<y>", "lstrip": True, "special": True}],
        "bos_token": {"__type": "AddedToken", "content": "<s>"}}},
}


def write_beside(folder, files, config):
    for name, content in files.items():
        if name == "tokenizer_config.json":
            content = config | content
        (folder / name).write_text(json.dumps(content))
    if "tokenizer_config.json" not in files:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", ["tinyllama", "llama2", "qwen"])
def test_files_beside_a_tokenizer_json(sbora, name, beside):
    folder = sbora.folder / "tokenizer"
    folder.mkdir()
    tokenizer = getattr(families, name)()
    tokenizer.save(str(folder / "tokenizer.json"))
    named = CONFIGS["qwen" if name == "qwen" else "tinyllama"]
    named = {role: token for role, token in named.items() if role in ("bos_token", "eos_token")}
    if name == "qwen":
        named["bos_token"] = "<|im_start|>"
    write_beside(folder, BESIDE[beside], named | {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers"})
    theirs = TokenizersBackend.from_pretrained(folder)
    ours = compare(sbora, folder, families.random_texts(list(theirs.get_added_vocab()), 500, 4), theirs._tokenizer)
    assert (ours.get("bos"), ours.get("eos")) == (theirs.bos_token_id, theirs.eos_token_id)


@pytest.fixture(scope="module")
def sentencepiece_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentencepiece")
    families.sentencepiece_model(folder)
    return folder


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("legacy", [False, None], ids=["not legacy", "unsaid"])
def test_a_tokenizer_model(sbora, sentencepiece_folder, legacy, beside):
    folder = sbora.folder / "tokenizer"
    shutil.copytree(sentencepiece_folder, folder)
    config = {"tokenizer_class": "LlamaTokenizer", "backend": "tokenizers"}
    if legacy is not None:
        config["legacy"] = legacy
    write_beside(folder, BESIDE[beside], config)
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = compare(sbora, folder, families.random_texts(list(theirs.get_added_vocab()), 1500, 5), theirs._tokenizer)
    assert (ours.get("bos"), ours.get("eos")) == (theirs.bos_token_id, theirs.eos_token_id)


def test_which_transformers(sbora, sentencepiece_folder):
    """LLaMA's class without a word about beginnings: transformers 4 puts one, 5 doesn't; who wrote the files
    decides."""
    folder = sbora.folder / "tokenizer"
    shutil.copytree(sentencepiece_folder, folder)
    out, texts = sbora.folder / "out.json", sbora.folder / "texts.json"
    texts.write_text('["so that"]')
    for config, before in [({}, [1]), ({"backend": "tokenizers"}, [])]:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"} | config))
        sbora("tokenize", folder, texts, out)
        ours = json.loads(out.read_text())
        assert ours["with_special"][0] == before + ours["ids"][0]
        assert any("add_bos_token" in note and "transformers 4 puts 1" in note for note in ours["notes"])
    assert AutoTokenizer.from_pretrained(folder)("so that")["input_ids"] == ours["ids"][0]


def test_a_file_that_is_something_else(sbora, sentencepiece_folder):
    """Beside a good one it is passed over with a word; alone the error says what it is and what to do."""
    texts, out = sbora.folder / "texts.json", sbora.folder / "out.json"
    texts.write_text('["so that"]')
    others = {"Git LFS pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
              "tiktoken file": "IQ== 0\nIg== 1\n", "is empty": "", "web page": "<!DOCTYPE html>\n<html>"}
    for good, bad in [("tokenizer.json", "tokenizer.model"), ("tokenizer.model", "tokenizer.json")]:
        folder = sbora.folder / good
        folder.mkdir()
        for what, content in others.items():
            (folder / bad).write_text(content)
            with pytest.raises(Refused, match=what):
                sbora("tokenize", folder, texts, out)
        if good == "tokenizer.json":
            families.tinyllama().save(str(folder / good))
        else:
            shutil.copy(sentencepiece_folder / good, folder / good)
        for what, content in others.items():
            (folder / bad).write_text(content)
            sbora("tokenize", folder, texts, out)
            assert any(what in note and good in note for note in json.loads(out.read_text())["notes"])
