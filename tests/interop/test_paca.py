"""PEFT's PaCA, which is FA: its file and its formula, both ways. PyPI's PEFT has no PaCA yet, so the formula is here."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from driver import Refused
from models import adapted_output, load_llama, logits, make_llama, relative, some_tokens
from test_adapters import TARGETS, module_names, sizes, trained, write_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, make_llama(folder)


def paca_config(**changes):
    """All keys of PEFT's PacaConfig."""
    return {"auto_mapping": None, "base_model_name_or_path": "base", "exclude_modules": None, "inference_mode": True,
            "init_weights": True, "layers_pattern": None, "layers_to_transform": None, "modules_to_save": None,
            "paca_alpha": 9, "peft_type": "PACA", "peft_version": "0.22.0", "r": 6, "random_seed": 3, "revision": None,
            "target_modules": TARGETS, "task_type": "CAUSAL_LM", **changes}


def paca_tensors(dtype=torch.float32, rank=6, seed=5, ordered=True):
    """As PEFT makes them: columns by torch.randperm, sorted; trained is random here."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in module_names(TARGETS):
        d_out, d_in = sizes(module)
        indices = torch.randperm(d_in, generator=generator)[:rank]
        tensors[f"base_model.model.{module}.paca_indices"] = indices.sort().values if ordered else indices
        tensors[f"base_model.model.{module}.paca_delta"] = torch.randn(d_out, rank, generator=generator).to(dtype)
    return tensors


def adapted_weight(weight, module, tensors, scaling):
    """W + s·P, with P zero outside the columns."""
    columns = tensors[f"base_model.model.{module}.paca_indices"]
    delta = tensors[f"base_model.model.{module}.paca_delta"].float()
    return weight.index_copy(1, columns, weight[:, columns] + scaling * delta)


@torch.no_grad()
def reference(folder, tensors, scaling):
    """The model with PaCA's weights."""
    model = load_llama(folder)
    for module in module_names(TARGETS):
        weight = model.get_submodule(module).weight
        weight.copy_(adapted_weight(weight.detach().clone(), module, tensors, scaling))
    return model


def check_model(sbora, base, adapter, tensors, scaling):
    folder, model = base
    for module in module_names(TARGETS):
        weight = adapted_weight(model.get_submodule(module).weight.detach(), module, tensors, scaling)
        x = torch.randn(9, weight.shape[1], generator=torch.Generator().manual_seed(2))
        assert relative(adapted_output(model, adapter, module, x), F.linear(x, weight)) < 1e-5, module
    merged = sbora.folder / "merged"
    model.config.save_pretrained(merged)
    sbora("merge-adapter", folder, adapter, merged / "model.safetensors")
    tokens = some_tokens(model)
    expected = logits(reference(folder, tensors, scaling), tokens)
    assert relative(logits(model, tokens), expected) > 1e-2
    assert relative(logits(load_llama(merged), tokens), expected) < 1e-5


def assert_same_tensors(ours, theirs):
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name].view(torch.uint8), tensor.view(torch.uint8))


@pytest.mark.parametrize("ordered", [True, False], ids=["sorted", "as drawn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_pefts_files_give_pacas_output(sbora, base, dtype, ordered):
    tensors = paca_tensors(dtype, ordered=ordered)
    write_adapter(sbora.folder / "paca", paca_config(), tensors)
    check_model(sbora, base, sbora.folder / "paca", tensors, scaling=1.5)
    described = json.loads(sbora("describe-adapter", sbora.folder / "paca", base[0]))
    assert described["kind"] == "FA" and not described["skipped"]


def test_pefts_files_come_back_the_same(sbora, base):
    tensors = paca_tensors(ordered=False)
    write_adapter(sbora.folder / "first", paca_config(), tensors)
    sbora("save-adapter-again", base[0], sbora.folder / "first", sbora.folder)
    # From sbora's own file, which has it all, and from what that gives.
    sbora("save-adapter-again", base[0], sbora.folder / "native", sbora.folder / "again")
    for paca in (sbora.folder / "paca", sbora.folder / "again" / "paca"):
        assert_same_tensors(load_file(paca / "adapter_model.safetensors"), tensors)
        config = json.loads((paca / "adapter_config.json").read_text())
        assert config.items() <= paca_config().items()
        assert {key for key in paca_config() if paca_config()[key] is not None} - set(config) == {
            "init_weights", "peft_version"}


@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"layers_to_transform": [0, 1], "lora_dropout": 0.1},
                                     {"exclude_modules": ["lm_head"]}], ids=str)
def test_trained_by_sbora_pacas_formula_gives_the_logits_of_sboras_merge(sbora, base, changes):
    trained(sbora, base[0], "fa", changes)
    config = json.loads((sbora.folder / "paca" / "adapter_config.json").read_text())
    assert set(config) <= set(paca_config())
    tensors = load_file(sbora.folder / "paca" / "adapter_model.safetensors")
    assert {name.rsplit(".", 1)[1]: tensor.dtype for name, tensor in tensors.items()} == {
        "paca_indices": torch.int64, "paca_delta": torch.float32}
    for adapter in ("native", "paca"):
        check_model(sbora, base, sbora.folder / adapter, tensors, config["paca_alpha"] / config["r"])
    native = json.loads(sbora("describe-adapter", sbora.folder / "native"))
    described = json.loads(sbora("describe-adapter", sbora.folder / "paca", base[0]))
    assert described["modules"] == native["modules"]


def test_rows_and_other_ranks_are_no_paca(sbora, base):
    trained(sbora, base[0], "fb", {})
    assert not (sbora.folder / "paca").exists()
    trained(sbora, base[0], "fa", {"rank_pattern": {"q_proj": 3}})
    assert not (sbora.folder / "paca").exists()
    write_adapter(sbora.folder / "first", paca_config(r=5), paca_tensors())
    with pytest.raises(Refused, match="has 6 indices, the config says rank 5"):
        sbora("describe-adapter", sbora.folder / "first", base[0])
