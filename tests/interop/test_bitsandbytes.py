"""bitsandbytes checkpoints: what transformers saves is loaded in place, what sbora writes is loaded by transformers."""

import copy
import json

import bitsandbytes
import bitsandbytes.functional as bnb
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, LlamaForCausalLM

from driver import Refused, assert_same_bits
from models import load_llama, logits, make_llama, relative, some_tokens

FORMATS = {
    "nf4": {"bnb_4bit_quant_type": "nf4"},
    "nf4 nested": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "fp4": {"bnb_4bit_quant_type": "fp4"},
    "fp4 nested": {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": True},
    "nf4 stored as bf16": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": torch.bfloat16},
    "int8": None,
}


def quantisation(name):
    options = FORMATS[name]
    if options is None:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, **options)


def kind(name):
    return name.split()[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_llama(folder)
    return folder


def linear_layers(model):
    return {f"{name}.weight": module for name, module in model.named_modules()
            if isinstance(module, (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt))}


def upstream_values(module):
    weight = module.weight
    if isinstance(module, bitsandbytes.nn.Linear8bitLt):
        return bnb.int8_vectorwise_dequant(weight.data, weight.SCB if weight.SCB is not None else module.state.SCB)
    state = copy.copy(weight.quant_state)
    shape = state.shape
    if shape.numel() % state.blocksize == 0:
        # As rows of one block each: its AVX-512 kernel takes wrong scales for rows that aren't whole blocks.
        state.shape = torch.Size((shape.numel() // state.blocksize, state.blocksize))
    return bnb.dequantize_4bit(weight.data, state).reshape(shape)


def without_repacking(model):
    """Where the processor has AVX512_BF16, a forward repacks weights, which refuses those of 24 rows."""
    for module in linear_layers(model).values():
        module.support_avx512bf16_for_cpu = False
    return model


@pytest.mark.parametrize("name", FORMATS)
def test_what_transformers_saves_is_loaded_in_place(sbora, base, name):
    model = load_llama(base, quantization_config=quantisation(name), device_map="cpu")
    model.save_pretrained(sbora.folder / "quantised")
    listed = json.loads(sbora("dequantise-checkpoint", sbora.folder / "quantised" / "model.safetensors", sbora.folder))
    layers = linear_layers(model)
    assert listed.keys() == layers.keys() and len(layers) == 14
    for weight, module in layers.items():
        shape = (module.out_features, module.in_features)
        assert listed[weight]["in_place"] and tuple(listed[weight]["shape"]) == shape
        assert listed[weight]["type"] == kind(name)
        if kind(name) != "int8":
            assert listed[weight]["nested"] == ("nested" in name) and listed[weight]["blocksize"] == 64
        # 0.0: which zero FP4's code 8 is, README difference 2.
        assert_same_bits(sbora.read(weight, torch.float32, shape) + 0.0, upstream_values(module) + 0.0, weight)


@pytest.mark.parametrize("nested", ["plain", "nested"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_what_was_quantised_from_halves(sbora, tmp_path, dtype, nested):
    """The state says so, and both sides' values differ only by upstream's rounding to it."""
    folder = tmp_path / "halves"
    make_llama(folder, dtype=dtype)
    options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                 bnb_4bit_use_double_quant=nested == "nested")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=options, device_map="cpu")
    model.save_pretrained(sbora.folder / "quantised")
    listed = json.loads(sbora("dequantise-checkpoint", sbora.folder / "quantised" / "model.safetensors", sbora.folder))
    for weight, module in linear_layers(model).items():
        assert listed[weight]["original"] == {torch.float16: "F16", torch.bfloat16: "BF16"}[dtype]
        ours = sbora.read(weight, torch.float32, (module.out_features, module.in_features))
        assert_same_bits(ours.to(dtype), upstream_values(module), weight)


@pytest.mark.parametrize("name", [name for name in FORMATS if "stored" not in name])
def test_what_sbora_writes_is_loaded_by_transformers(sbora, base, name):
    theirs = load_llama(base, quantization_config=quantisation(name), device_map="cpu")
    folder = sbora.folder / "quantised"
    theirs.save_pretrained(folder)
    their_tensors = load_file(folder / "model.safetensors")
    nested = "nested" if "nested" in name else "plain"
    sbora("quantise-checkpoint", base, kind(name), 64, nested, folder / "model.safetensors")
    our_tensors = load_file(folder / "model.safetensors")
    assert our_tensors.keys() == their_tensors.keys()
    for key, tensor in our_tensors.items():
        assert tensor.dtype == their_tensors[key].dtype, key
        if ".quant_state." in key:
            ours, expected = (json.loads(bytes(of.tolist())) for of in (tensor, their_tensors[key]))
            # The mean of the scales: README difference 4.
            offsets = [state.pop("nested_offset", 0.0) for state in (ours, expected)]
            assert ours == expected and abs(offsets[0] - offsets[1]) <= 1e-5 * abs(offsets[1])
        else:
            assert tensor.shape == their_tensors[key].shape, key
            # Nested scales have another offset; which zero FP4's tiny values get is README difference 1.
            if nested == "plain" and kind(name) != "fp4":
                assert torch.equal(tensor, their_tensors[key]), key
    model = load_llama(folder)
    layers = linear_layers(model)
    assert len(layers) == 14
    listed = json.loads(sbora("dequantise-checkpoint", folder / "model.safetensors", sbora.folder))
    assert listed.keys() == layers.keys()
    for weight, module in layers.items():
        ours = sbora.read(weight, torch.float32, (module.out_features, module.in_features))
        assert_same_bits(ours + 0.0, upstream_values(module) + 0.0, weight)
    tokens = some_tokens(model)
    off = relative(logits(without_repacking(model), tokens), logits(without_repacking(theirs), tokens))
    assert off < (1e-5 if nested == "plain" else 1e-3)


@pytest.mark.parametrize("blocksize", [32, 128, 4096])
@pytest.mark.parametrize("four_bit", ["nf4", "fp4"])
def test_other_blocksizes_are_loaded_by_linear4bit(sbora, base, four_bit, blocksize):
    out = sbora.folder / "model.safetensors"
    sbora("quantise-checkpoint", base, four_bit, blocksize, "nested", out)
    sbora("dequantise-checkpoint", out, sbora.folder)
    tensors = load_file(out)
    name = "model.layers.1.mlp.down_proj.weight"
    state = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
    module = bitsandbytes.nn.Linear4bit(80, 48, bias=False, quant_type=four_bit, device="cpu")
    module.weight = bitsandbytes.nn.Params4bit.from_prequantized(tensors[name], state, device="cpu")
    assert module.weight.quant_state.blocksize == blocksize
    assert_same_bits(sbora.read(name, torch.float32, (48, 80)) + 0.0, upstream_values(module) + 0.0, name)


def broken(tensors, name, change):
    state = f"{name}.quant_state.bitsandbytes__nf4"
    if change == "no absmax":
        del tensors[f"{name}.absmax"]
    elif change == "absmax too short":
        tensors[f"{name}.absmax"] = tensors[f"{name}.absmax"][:-1].clone()
    elif change == "codes too short":
        tensors[name] = tensors[name][:-1].clone()
    elif change == "another code book":
        tensors[f"{name}.quant_map"] = tensors[f"{name}.quant_map"].flip(0).contiguous()
    elif change == "absmax of NaN":
        tensors[f"{name}.absmax"][3] = torch.nan
    else:
        text = bytes(tensors[state].tolist()).decode()
        changed = {"blocksize 0": text.replace('"blocksize": 64', '"blocksize": 0'),
                   "cut JSON": text[:-1], "shape of one": text.replace("[48, 80]", "[3840]"),
                   "type fp4": text.replace('"nf4"', '"fp4"')}[change]
        assert changed != text
        tensors[state] = torch.tensor(list(changed.encode()), dtype=torch.uint8)


@pytest.mark.parametrize("change", ["no absmax", "absmax too short", "codes too short", "another code book",
                                    "absmax of NaN", "blocksize 0", "cut JSON", "shape of one", "type fp4"])
def test_an_inconsistent_state_is_refused_by_name(sbora, base, change):
    model = load_llama(base, quantization_config=quantisation("nf4"), device_map="cpu")
    model.save_pretrained(sbora.folder / "quantised")
    tensors = load_file(sbora.folder / "quantised" / "model.safetensors")
    broken(tensors, "model.layers.0.mlp.down_proj.weight", change)
    save_file(tensors, sbora.folder / "broken.safetensors", {"format": "pt"})
    with pytest.raises(Refused, match=r"model\.layers\.0\.mlp\.down_proj\.weight"):
        sbora("dequantise-checkpoint", sbora.folder / "broken.safetensors", sbora.folder)
