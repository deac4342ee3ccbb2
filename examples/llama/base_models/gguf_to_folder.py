"""Makes a Hugging Face folder of a LLaMA in a GGUF file: config.json, model.safetensors, tokenizer.json,
tokenizer_config.json.

Weights are dequantised to float32, the values that gguf-py gives, and the rows of q and k are put back into
Hugging Face's order, which llama.cpp's converter changes for its rotary embedding. Architecture llama, tokenizers of
the kinds gpt-2 and smollm; anything else is refused by name. The folder appears when it is complete, or not at all.

Needs gguf, numpy and safetensors: pip install -r requirements.txt
Exit codes: 0 done; 1 failed (no space, no permission); 2 wrong input or usage.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

CONTROL, USER_DEFINED = 3, 4  # token types that text is searched for before it is split
LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
MODEL_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
# What splits text before the merges, by tokenizer.ggml.pre. ByteLevel's own pattern is gpt-2's.
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PRE_TOKENIZERS = {
    "gpt-2": BYTE_LEVEL,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
}


class Refused(Exception):
    """The input is wrong; the text says how, and what to do."""


class Metadata:
    def __init__(self, reader):
        self.fields = reader.fields

    def get(self, key, default=None):
        return self.fields[key].contents() if key in self.fields else default

    def __getitem__(self, key):
        if key not in self.fields:
            raise Refused(f"no {key} in its metadata: the file is incomplete, fetch it again")
        return self.fields[key].contents()


def one_of(known, value, what):
    if value not in known:
        raise Refused(f"{what} is {value}, known are {', '.join(known)}: convert the model with transformers")
    return value


def config_of(metadata, tensors):
    one_of(["llama"], metadata["general.architecture"], "the architecture")
    heads = metadata["llama.attention.head_count"]
    width = metadata["llama.embedding_length"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", heads),
        "head_dim": metadata.get("llama.attention.key_length", width // heads),
        "max_position_embeddings": metadata["llama.context_length"],
        # A float32 there; the shortest decimal number that it stands for is what the model had.
        "rms_norm_eps": shortest(metadata["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": shortest(metadata.get("llama.rope.freq_base", 10000.0)),
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in tensors,
        "torch_dtype": "float32",
    }
    scaling = metadata.get("llama.rope.scaling.type")
    if scaling not in (None, "none") or "rope_freqs.weight" in tensors:
        raise Refused("its rotary frequencies are scaled: convert the model with transformers")
    for name in ("bos", "eos"):
        config[f"{name}_token_id"] = metadata.get(f"tokenizer.ggml.{name}_token_id")
    return config


def shortest(value):
    import numpy

    return float(str(numpy.float32(value)))


def hugging_face_name(name):
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[1].isdigit() and parts[2] in LAYER_TENSORS:
        return f"model.layers.{parts[1]}.{LAYER_TENSORS[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in MODEL_TENSORS:
        return f"{MODEL_TENSORS[parts[0]]}.{parts[1]}"
    raise Refused(f"no LlamaForCausalLM has the tensor {name}: convert the model with transformers")


def unpermuted(rows, heads):
    """llama.cpp turns the pairs of a head that lie half a head apart into neighbours; this is its inverse."""
    halves = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def weights_of(tensors, config):
    import gguf
    import numpy

    weights = {}
    for name, tensor in tensors.items():
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(name.split(".")[-2])
        if heads is not None:
            values = unpermuted(values, config[heads])
        weights[hugging_face_name(name)] = numpy.ascontiguousarray(values)
    return weights


def tokenizer_of(metadata):
    one_of(["gpt2"], metadata["tokenizer.ggml.model"], "the kind of tokenizer")
    splits = one_of(PRE_TOKENIZERS, metadata["tokenizer.ggml.pre"], "how its tokenizer splits text")
    tokens = metadata["tokenizer.ggml.tokens"]
    types = metadata["tokenizer.ggml.token_type"]
    special = {}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        token = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if token is not None:
            special[f"{name}_token"] = tokens[token]
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": kind == CONTROL}
        for i, (token, kind) in enumerate(zip(tokens, types)) if kind in (CONTROL, USER_DEFINED)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZERS[splits],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": special.get("unk_token"),
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)},
                  "merges": metadata["tokenizer.ggml.merges"]},
    }
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False,
                "model_max_length": metadata["llama.context_length"], **special}
    for name in ("add_bos_token", "add_eos_token"):
        settings[name] = bool(metadata.get(f"tokenizer.ggml.{name}", False))
    template = metadata.get("tokenizer.chat_template")
    if template:
        settings["chat_template"] = template
    return tokenizer, settings


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def convert(source, folder):
    import gguf
    import safetensors.numpy

    with open(source, "rb") as file:
        if file.read(4) != b"GGUF":
            raise Refused("it doesn't begin as a GGUF file does: fetch it again")
    try:
        reader = gguf.GGUFReader(source)
    except Exception as problem:  # whatever a damaged file makes it raise
        raise Refused(f"gguf cannot read it ({problem}): fetch it again")
    metadata = Metadata(reader)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = config_of(metadata, tensors)
    tokenizer, settings = tokenizer_of(metadata)
    weights = weights_of(tensors, config)

    folder.parent.mkdir(parents=True, exist_ok=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, value in (("config", config), ("tokenizer", tokenizer), ("tokenizer_config", settings)):
            (made / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
        safetensors.numpy.save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
        for path, mode in ((made, 0o777), (made / "model.safetensors", 0o666)):  # as if not made as temporary files
            path.chmod(mode & ~umask())
        os.rename(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="FILE.gguf", type=pathlib.Path)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="must not exist")
    options = parser.parse_args()
    try:
        if options.folder.exists():
            raise Refused(f"{options.folder} exists already: remove it or name another folder")
        convert(options.source, options.folder)
    except Refused as problem:
        print(f"{parser.prog}: {options.source}: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{parser.prog}: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
