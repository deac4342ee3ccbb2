"""Stacks of experts that PEFT adapts by target_parameters, on small Mixtral and Qwen-MoE models: sbora's parts are
PEFT's updates of each expert, its merge gives PEFT's logits, and PEFT loads what sbora writes."""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from driver import Refused
from models import logits, relative, some_tokens
from test_adapters import one_hot_rows

EXPERTS = 5
SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.2}


def make_mixtral():
    return MixtralForCausalLM(
        MixtralConfig(intermediate_size=24, num_local_experts=EXPERTS, num_experts_per_tok=2, **SIZES))


def make_qwen():
    return Qwen2MoeForCausalLM(
        Qwen2MoeConfig(intermediate_size=40, moe_intermediate_size=12, shared_expert_intermediate_size=20,
                       num_experts=EXPERTS, num_experts_per_tok=2, decoder_sparse_step=1, **SIZES))


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=["mixtral", "qwen"])
def base(request, tmp_path_factory):
    torch.manual_seed(3)
    model = {"mixtral": make_mixtral, "qwen": make_qwen}[request.param]().eval()
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return folder, load(folder)


def experts_lora(folder, kind, parameters, **changes):
    """One-hot halves for each expert, as FA or FB has them; what is expected of each part, by its name."""
    options = {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj"], "target_parameters": parameters,
               "task_type": "CAUSAL_LM", **changes}
    model = peft.get_peft_model(load(folder), peft.LoraConfig(**options))
    generator = torch.Generator().manual_seed(8)
    expected = {}
    with torch.no_grad():
        for name, layer in model.base_model.model.named_modules():
            if type(layer).__name__ not in ("ParamWrapper", "Linear") or not hasattr(layer, "lora_A"):
                continue
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            experts = getattr(layer, "num_experts", 1)
            rank = a.shape[0] // experts
            a.copy_(torch.randn(a.shape, generator=generator) * 0.3)
            b.copy_(torch.randn(b.shape, generator=generator) * 0.3)
            for e in range(experts):
                own = torch.empty_like(a[:rank] if kind == "fa" else b[:, :rank].T)
                index = one_hot_rows(own, f"{name} {e}")
                if kind == "fa":
                    a[e * rank:(e + 1) * rank] = own
                    trained = b[:, e::experts]
                else:
                    b[:, e::experts] = own.T
                    trained = a[e * rank:(e + 1) * rank]
                part = name.replace(".base_layer", "")
                if hasattr(layer, "parameter_name"):
                    part += f".{layer.parameter_name}[{e}]"
                expected[part] = (index, trained.clone())
    return model, expected


def merged_logits(sbora, folder, adapter, tokens):
    """Of the base with the changed tensors in their places, as transformers reads it."""
    sbora("merge-into-files", folder, adapter, sbora.folder / "changed.safetensors")
    tensors = load_file(folder / "model.safetensors")
    changed = load_file(sbora.folder / "changed.safetensors")
    assert changed and changed.keys() <= tensors.keys()
    merged = sbora.folder / "merged"
    merged.mkdir(exist_ok=True)
    save_file({**tensors, **changed}, merged / "model.safetensors", {"format": "pt"})
    (merged / "config.json").write_text((folder / "config.json").read_text())
    return logits(load(merged), tokens)


PARAMETERS = {
    "both": ["experts.gate_up_proj", "experts.down_proj"],
    "one": ["mlp.experts.down_proj"],
    "by whole names": ["model.layers.1.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.down_proj"],
}


@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"rank_pattern": {"experts.down_proj": 2}}],
                         ids=["plain", "rslora", "patterns"])
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_experts_of_peft_are_parts(sbora, base, kind, name, changes):
    folder, model = base
    lora, expected = experts_lora(folder, kind, PARAMETERS[name], **changes)
    lora.save_pretrained(sbora.folder / "lora")
    tokens = some_tokens(model)
    theirs = logits(lora, tokens)
    assert relative(logits(model, tokens), theirs) > 1e-2
    again = sbora.folder / "again"
    sbora("save-adapter-again", folder, sbora.folder / "lora", again)
    for adapter in (sbora.folder / "lora", again / "native", again / "peft"):
        described = json.loads(sbora("describe-adapter", adapter, folder))
        assert described["kind"] == kind.upper() and described["skipped"] == []
        assert described["modules"].keys() == expected.keys()
        for part, (index, trained) in expected.items():
            assert described["modules"][part]["indices"] == index
            assert torch.equal(torch.tensor(described["modules"][part]["trained"]), trained.reshape(-1))
        assert relative(merged_logits(sbora, folder, adapter, tokens), theirs) < 1e-5
    back = peft.PeftModel.from_pretrained(load(folder), again / "peft")
    assert relative(logits(back, tokens), theirs) < 1e-6
    saved, written = (load_file(path / "adapter_model.safetensors") for path in (sbora.folder / "lora", again / "peft"))
    assert saved.keys() == written.keys() and all(torch.equal(saved[name], written[name]) for name in saved)


def test_experts_that_are_no_sbora_adapter_are_refused_by_name(sbora, base):
    folder, _ = base
    lora, _ = experts_lora(folder, "fa", ["experts.down_proj"])
    with torch.no_grad():
        for name, layer in lora.base_model.model.named_modules():
            if name == "model.layers.1.mlp.experts":
                layer.lora_A["default"].weight[4] *= 2  # of expert 1
    lora.save_pretrained(sbora.folder / "lora")
    with pytest.raises(Refused, match=r"model\.layers\.1\.mlp\.experts\.down_proj\[1\]' is no SBoRA adapter"):
        sbora("describe-adapter", sbora.folder / "lora", folder)
