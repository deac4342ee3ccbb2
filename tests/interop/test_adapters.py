"""Adapters that travel: to PEFT as LoRA and back, and to and from the official SBoRA layout."""

import json
import random

import peft
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from driver import Refused
from models import adapted_output, load_llama, logits, make_llama, relative, some_tokens

TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
SIZES = {"q_proj": (48, 48), "k_proj": (24, 48), "v_proj": (24, 48), "o_proj": (48, 48), "up_proj": (80, 48),
         "gate_proj": (80, 48), "down_proj": (48, 80)}


def module_names(targets):
    parts = {name: "mlp" if SIZES[name][0] == 80 or SIZES[name][1] == 80 else "self_attn" for name in targets}
    return [f"model.layers.{layer}.{parts[name]}.{name}" for layer in range(2) for name in targets]


def sizes(module):
    return SIZES[module.split(".")[-1]]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, make_llama(folder)


# ---- sbora to PEFT

CONFIGS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 3, r".*\.1\.mlp\..*": 12}, "alpha_pattern": {"down_proj": 1.7}},
    "regex": {"target_modules": r".*\.0\.(self_attn|mlp)\.(q|o|gate)_proj"},
    "one layer": {"layers_to_transform": [1]},
}


def trained(sbora, base, kind, changes, seed=3):
    config = {"peft_type": "SBORA", "adapter_name": f"sbora_{kind}", "r": 8, "lora_alpha": 20,
              "target_modules": TARGETS, "task_type": "CAUSAL_LM", "bias": "none", **changes}
    path = sbora.folder / "config.json"
    path.write_text(json.dumps(config))
    sbora("train-adapter", base, path, seed, 4, sbora.folder)


# PEFT warns of keys that it misses or doesn't know.
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_trained_by_sbora_peft_gives_the_logits_of_sboras_merge(sbora, base, kind, name):
    folder, model = base
    tokens = some_tokens(model)
    trained(sbora, folder, kind, CONFIGS[name])
    merged = sbora.folder / "merged"
    model.config.save_pretrained(merged)
    sbora("merge-adapter", folder, sbora.folder / "native", merged / "model.safetensors")
    expected = logits(load_llama(merged), tokens)
    assert relative(logits(model, tokens), expected) > 1e-2
    for export in ("peft", "peft_rslora"):
        adapted = peft.PeftModel.from_pretrained(load_llama(folder), sbora.folder / export)
        assert relative(logits(adapted, tokens), expected) < 1e-5, export
        unloaded = adapted.merge_and_unload()
        assert relative(logits(unloaded, tokens), expected) < 1e-5, export
    saved = json.loads((sbora.folder / "peft" / "adapter_config.json").read_text())
    assert saved["peft_type"] == "LORA" and not saved.get("use_rslora")


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_an_export_comes_back_the_same(sbora, base, kind, name):
    trained(sbora, base[0], kind, CONFIGS[name])
    native = json.loads(sbora("describe-adapter", sbora.folder / "native"))
    assert native["kind"] == kind.upper() and all(any(module["trained"]) for module in native["modules"].values())
    for export in ("peft", "peft_rslora"):
        assert json.loads(sbora("describe-adapter", sbora.folder / export))["modules"] == native["modules"]
    if (sbora.folder / "official").exists():
        official = json.loads(sbora("describe-adapter", sbora.folder / "official", base[0]))
        assert official["modules"] == native["modules"]
    assert (sbora.folder / "official").exists() == (name != "patterns")


# ---- the official layout

def official_adapter(kind, targets, order, rank=6, seed=5):
    """What the official code has for each module: indices and the trained half."""
    choose = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    modules = {}
    for module in module_names(targets):
        d_out, d_in = sizes(module)
        index = choose.sample(range(d_in if kind == "fa" else d_out), rank)
        if order == "sorted":
            index.sort()
        half = torch.randn((d_out, rank) if kind == "fa" else (rank, d_in), generator=generator)
        modules[module] = (torch.tensor(index), half)
    return modules


def official_config(kind, targets, **changes):
    return {"adapter_name": f"sbora_{kind}", "base_model_name_or_path": "base", "bias": "none", "enable_lora": None,
            "fan_in_fan_out": False, "inference_mode": True, "lora_alpha": 12, "lora_dropout": 0.05,
            "merge_weights": False, "modules_to_save": None, "peft_type": "SBORA", "r": 6,
            "target_modules": targets, "task_type": "CAUSAL_LM", **changes}


def official_tensors(kind, modules, index_dtype=torch.int64):
    tensors = {}
    for module, (index, half) in modules.items():
        a, b = (index.to(index_dtype), half) if kind == "fa" else (half, index.to(index_dtype))
        key = f"base_model.model.{module}"
        tensors[f"{key}.lora_A" + (".weight" if kind == "fb" else "")] = a
        tensors[f"{key}.lora_B" + (".weight" if kind == "fa" else "")] = b
    return tensors


def official_layer(kind, x, weight, index, half, scaling):
    """The paper's code: gather and thin product, or thin product and index_add."""
    y = F.linear(x, weight)
    if kind == "fa":
        return y + F.linear(x[..., index], half) * scaling
    return y.index_add(-1, index, F.linear(x, half) * scaling)


def write_adapter(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def check_layers(model, kind, adapter, modules, scaling):
    for module, (index, half) in modules.items():
        weight = model.get_submodule(module).weight.detach()
        x = torch.randn(9, weight.shape[1], generator=torch.Generator().manual_seed(2))
        ours = adapted_output(model, adapter, module, x)
        assert relative(ours, official_layer(kind, x, weight, index, half, scaling)) < 1e-5, module


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("order", ["sorted", "as drawn"])
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_official_files_give_the_official_layers_output(sbora, base, kind, order, index_dtype):
    modules = official_adapter(kind, TARGETS, order)
    adapter = sbora.folder / "adapter"
    write_adapter(adapter, official_config(kind, TARGETS), official_tensors(kind, modules, index_dtype))
    check_layers(base[1], kind, adapter, modules, scaling=2.0)
    described = json.loads(sbora("describe-adapter", adapter, base[0]))
    assert described["kind"] == kind.upper()
    for module, (index, half) in modules.items():
        assert described["modules"][module]["indices"] == index.tolist()
        assert torch.equal(torch.tensor(described["modules"][module]["trained"]), half.reshape(-1))


@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_qsbora_folders_have_their_kind_from_the_tensors(sbora, base, kind):
    """Config of PEFT 0.4, which says LORA; in checkpoint-N/adapter_model/NAME."""
    modules = official_adapter(kind, TARGETS, "as drawn")
    config = {"auto_mapping": None, "base_model_name_or_path": "base", "bias": "none", "fan_in_fan_out": False,
              "inference_mode": True, "init_lora_weights": True, "layers_pattern": None, "layers_to_transform": None,
              "lora_alpha": 3, "lora_dropout": 0.0, "modules_to_save": None, "peft_type": "LORA", "r": 6,
              "revision": None, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
    adapter = sbora.folder / "checkpoint-10" / "adapter_model" / f"SB_{kind.upper()}_sampleMul"
    write_adapter(adapter, config, official_tensors(kind, modules))
    for path in (adapter, sbora.folder / "checkpoint-10"):
        check_layers(base[1], kind, path, modules, scaling=0.5)


@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_sboras_official_files_are_what_the_official_code_reads(sbora, base, kind):
    trained(sbora, base[0], kind, {})
    config = json.loads((sbora.folder / "official" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["adapter_name"], config["r"]) == ("SBORA", f"sbora_{kind}", 8)
    tensors = load_file(sbora.folder / "official" / "adapter_model.safetensors")
    modules = {}
    for module in module_names(TARGETS):
        key = f"base_model.model.{module}"
        index = tensors.pop(f"{key}.lora_A" if kind == "fa" else f"{key}.lora_B")
        half = tensors.pop(f"{key}.lora_B.weight" if kind == "fa" else f"{key}.lora_A.weight")
        assert index.dtype == torch.int64 and index.shape == (8,) and half.dtype == torch.float32
        modules[module] = (index, half)
    assert not tensors
    check_layers(base[1], kind, sbora.folder / "native", modules, config["lora_alpha"] / config["r"])


# ---- PEFT to sbora

def peft_adapter(folder, halves, **changes):
    """A LoRA that PEFT saves, its matrices by module set by halves(module, a, b)."""
    options = {"r": 4, "lora_alpha": 6, "target_modules": TARGETS, "task_type": "CAUSAL_LM", **changes}
    model = peft.get_peft_model(load_llama(folder), peft.LoraConfig(**options))
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, layer in model.base_model.model.named_modules():
            if isinstance(layer, peft.tuners.lora.Linear):
                a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
                a.copy_(torch.randn(a.shape, generator=generator) * 0.2)
                b.copy_(torch.randn(b.shape, generator=generator) * 0.2)
                halves(name, a, b)
    return model


def one_hot_rows(matrix, seed):
    """Distinct standard-basis rows. Returns their indices."""
    index = random.Random(seed).sample(range(matrix.shape[1]), matrix.shape[0])
    matrix.zero_()
    matrix[range(len(index)), index] = 1
    return index


def make_fa(regions):
    return lambda name, a, b: regions.__setitem__(name, one_hot_rows(a, name))


def make_fb(regions):
    return lambda name, a, b: regions.__setitem__(name, one_hot_rows(b.T, name))


@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"rank_pattern": {"v_proj": 7}}],
                         ids=["plain", "rslora", "patterns"])
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_a_one_hot_lora_of_peft_is_fa_or_fb(sbora, base, kind, changes):
    folder, model = base
    regions = {}
    lora = peft_adapter(folder, (make_fa if kind == "fa" else make_fb)(regions), **changes)
    lora.save_pretrained(sbora.folder / "lora")
    described = json.loads(sbora("describe-adapter", sbora.folder / "lora", folder))
    assert described["kind"] == kind.upper()
    assert {name: module["indices"] for name, module in described["modules"].items()} == regions
    merged = sbora.folder / "merged"
    model.config.save_pretrained(merged)
    sbora("merge-adapter", folder, sbora.folder / "lora", merged / "model.safetensors")
    tokens = some_tokens(model)
    assert relative(logits(load_llama(merged), tokens), logits(lora, tokens)) < 1e-5


def test_an_adapter_with_a_name_is_found_in_its_folder(sbora, base):
    regions = {}
    lora = peft_adapter(base[0], make_fa(regions))
    lora.save_pretrained(sbora.folder / "lora")
    named = peft.PeftModel.from_pretrained(load_llama(base[0]), sbora.folder / "lora", adapter_name="mine")
    named.save_pretrained(sbora.folder / "named")
    assert (sbora.folder / "named" / "mine" / "adapter_config.json").exists()
    described = json.loads(sbora("describe-adapter", sbora.folder / "named", base[0]))
    assert {name: module["indices"] for name, module in described["modules"].items()} == regions


def almost(change):
    """One-hot rows but for one."""

    def halves(name, a, b):
        one_hot_rows(a, name)
        if name == "model.layers.1.self_attn.v_proj":
            change(a)

    return halves


def nearly_one(a):
    a[2] *= 1 - 2.0**-24


def second_value(a):
    a[2, (int(a[2].argmax()) + 1) % a.shape[1]] = 1e-30


def same_row_twice(a):
    a[2] = a[0]


def zero_row(a):
    a[2] = 0


@pytest.mark.parametrize("halves",
                         [lambda *_: None, *map(almost, (nearly_one, second_value, same_row_twice, zero_row))],
                         ids=["random", "nearly one", "a second value", "a row twice", "a zero row"])
def test_another_lora_is_refused(sbora, base, halves):
    peft_adapter(base[0], halves).save_pretrained(sbora.folder / "lora")
    with pytest.raises(Refused, match=r"model\.layers\.1\.self_attn\.v_proj"):
        sbora("describe-adapter", sbora.folder / "lora", base[0])


@pytest.mark.parametrize("changes, word", [({"use_dora": True}, "dora"), ({"lora_bias": True}, "bias")],
                         ids=["dora", "lora_bias"])
def test_what_would_be_ignored_is_refused(sbora, base, changes, word):
    peft_adapter(base[0], make_fa({}), **changes).save_pretrained(sbora.folder / "lora")
    with pytest.raises(Refused, match=f"(?i){word}"):
        sbora("describe-adapter", sbora.folder / "lora", base[0])


# ---- full tensors

WHOLE = {
    "all biases": ({"bias": "all"}, 2 * 7),
    "adapted modules' biases": ({"bias": "lora_only"}, 2 * len(TARGETS)),
    "norms and head": ({"modules_to_save": ["norm", "lm_head"]}, 2 * 2 + 2),
    "both": ({"bias": "all", "modules_to_save": ["input_layernorm", "embed_tokens"]}, 2 * 7 + 2 + 1),
}


@pytest.fixture(scope="module")
def base_with_biases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base_with_biases")
    return folder, make_llama(folder, attention_bias=True, mlp_bias=True)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_biases_and_saved_modules_of_peft_are_honoured(sbora, base_with_biases, kind, name):
    folder, model = base_with_biases
    changes, count = WHOLE[name]
    lora = peft_adapter(folder, (make_fa if kind == "fa" else make_fb)({}), **changes)
    generator = torch.Generator().manual_seed(11)
    trained = {}
    for parameter_name, parameter in lora.named_parameters():
        if parameter.requires_grad and "lora_" not in parameter_name:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
            plain = parameter_name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
            trained[plain.replace(".base_layer", "")] = parameter.detach().clone()
    assert len(trained) == count
    lora.save_pretrained(sbora.folder / "lora")
    tokens = some_tokens(model)
    expected = logits(lora, tokens)
    assert relative(logits(model, tokens), expected) > 1e-2

    described = json.loads(sbora("describe-adapter", sbora.folder / "lora", folder))
    assert described["skipped"] == [] and described["full"].keys() == trained.keys()
    for tensor, values in trained.items():
        assert described["full"][tensor]["shape"] == list(values.shape)
        assert torch.equal(torch.tensor(described["full"][tensor]["values"]), values.reshape(-1))

    merged = sbora.folder / "merged"
    model.config.save_pretrained(merged)
    sbora("merge-adapter", folder, sbora.folder / "lora", merged / "model.safetensors")
    assert relative(logits(load_llama(merged), tokens), expected) < 1e-5
    in_memory = load_file(merged / "model.safetensors")
    sbora("merge-into-files", folder, sbora.folder / "lora", sbora.folder / "changed.safetensors")
    for tensor, values in load_file(sbora.folder / "changed.safetensors").items():
        assert torch.equal(values, in_memory[tensor])
        assert tensor not in trained or torch.equal(values, trained[tensor])

    # And back: what sbora writes of it, PEFT computes the same with.
    sbora("save-adapter-again", folder, sbora.folder / "lora", sbora.folder)
    again = peft.PeftModel.from_pretrained(load_llama(folder), sbora.folder / "peft")
    assert relative(logits(again, tokens), expected) < 1e-6
    assert relative(logits(again.merge_and_unload(), tokens), expected) < 1e-5
    for layout in ("native", "official", "peft"):
        assert json.loads(sbora("describe-adapter", sbora.folder / layout, folder))["full"] == described["full"]
