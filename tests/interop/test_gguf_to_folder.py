"""examples/llama/base_models/gguf_to_folder.py on small models in GGUF files: what transformers reads from the file."""

import json
import pathlib
import subprocess
import sys

import gguf
import numpy
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import tokenizer_families as families
from models import load_llama, logits
from test_tokenizers import compare

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "llama" / "base_models" / "gguf_to_folder.py"
WIDTH, INNER, HEADS, KV_HEADS, LAYERS = 64, 96, 4, 2, 2


def tokens_and_merges():
    """A byte-level vocabulary, as tokenizers trains it."""
    tokenizer = families.smollm()
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    added = {token.content: i for i, token in tokenizer.get_added_tokens_decoder().items()}
    return tokens, merges, added


def write_gguf(path, tied=True, kind="smollm", **metadata):
    tokens, merges, added = tokens_and_merges()
    writer = gguf.GGUFWriter(path, metadata.pop("architecture", "llama"))
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(50000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in added else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_unk_token_id(tokens.index("<|endoftext|>"))
    for key, value in metadata.items():
        writer.add_string(key, value)

    random = numpy.random.default_rng(5)

    def add(name, *shape, to=gguf.GGMLQuantizationType.Q4_1):
        values = random.normal(0, 0.1, shape).astype(numpy.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values + 1)
        else:
            writer.add_tensor(name, gguf.quantize(values, to), raw_dtype=to)

    add("token_embd.weight", len(tokens), WIDTH, to=gguf.GGMLQuantizationType.Q8_0)
    add("output_norm.weight", WIDTH)
    if not tied:
        add("output.weight", len(tokens), WIDTH)
    for i in range(LAYERS):
        kv = WIDTH // HEADS * KV_HEADS
        for name, *shape in (("attn_norm", WIDTH), ("ffn_norm", WIDTH), ("attn_q", WIDTH, WIDTH), ("attn_k", kv, WIDTH),
                             ("attn_v", kv, WIDTH), ("attn_output", WIDTH, WIDTH), ("ffn_gate", INNER, WIDTH),
                             ("ffn_up", INNER, WIDTH), ("ffn_down", WIDTH, INNER)):
            add(f"blk.{i}.{name}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def convert(source, folder):
    return subprocess.run([sys.executable, SCRIPT, source, folder], capture_output=True, text=True)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_logits_are_those_of_the_file(tmp_path, tied):
    write_gguf(tmp_path / "model.gguf", tied)
    done = convert(tmp_path / "model.gguf", tmp_path / "folder")
    assert done.returncode == 0, done.stderr
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ours = load_llama(tmp_path / "folder")
    assert ours.config.tie_word_embeddings == tied
    tokens = torch.randint(0, 300, (3, 17), generator=torch.Generator().manual_seed(1))
    assert torch.equal(logits(ours, tokens), logits(theirs, tokens))


def test_ids_are_those_of_the_tokenizer_it_was_made_of(sbora, tmp_path):
    write_gguf(tmp_path / "model.gguf")
    assert convert(tmp_path / "model.gguf", tmp_path / "folder").returncode == 0
    theirs = families.smollm()
    added = [token.content for token in theirs.get_added_tokens_decoder().values()]
    theirs = Tokenizer.from_str(theirs.to_str())
    compare(sbora, tmp_path / "folder", families.random_texts(added, 1000, 1) + families.task_texts(300), theirs)


@pytest.mark.parametrize("metadata, said", [
    ({"architecture": "qwen2"}, "the architecture is qwen2, known are llama"),
    ({"kind": "llama-bpe"}, "how its tokenizer splits text is llama-bpe, known are gpt-2, smollm"),
    ({"llama.rope.scaling.type": "yarn"}, "its rotary frequencies are scaled"),
])
def test_what_it_does_not_know_is_refused_by_name(tmp_path, metadata, said):
    write_gguf(tmp_path / "model.gguf", **metadata)
    done = convert(tmp_path / "model.gguf", tmp_path / "folder")
    assert done.returncode == 2 and said in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["model.gguf"]


def test_files_that_are_no_gguf_or_cut_off(tmp_path):
    write_gguf(tmp_path / "model.gguf")
    whole = (tmp_path / "model.gguf").read_bytes()
    contents = {"text": b"no GGUF", "empty": b"", "header": whole[:100], "half": whole[:len(whole) // 2]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        done = convert(tmp_path / name, tmp_path / "folder")
        assert done.returncode == 2 and "fetch it again" in done.stderr, done.stderr
        assert not (tmp_path / "folder").exists()
    (tmp_path / "folder").mkdir()
    done = convert(tmp_path / "model.gguf", tmp_path / "folder")
    assert done.returncode == 2 and "exists already" in done.stderr
