"""Names of tensors as torch.compile, DataParallel, PEFT and its users leave them: the same adapter, the same base."""

import json
import shutil

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from driver import Refused
from models import load_llama, logits, make_llama, relative, some_tokens
from test_adapters import TARGETS, make_fa, make_fb, peft_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, make_llama(folder)


def lora_tensors(model):
    return {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name}


def inner(lora):
    """What inject_adapter_in_model leaves: adapters in a model that PEFT doesn't wrap."""
    prefix = "base_model.model."
    return {name.removeprefix(prefix): tensor for name, tensor in peft.get_peft_model_state_dict(lora).items()}


def renamed(change):
    return lambda lora: {change(name): tensor for name, tensor in peft.get_peft_model_state_dict(lora).items()}


def compiled(lora):
    """torch.compile's wrapper, which compiles nothing before it is called."""
    return torch._dynamo.eval_frame.OptimizedModule(lora, lambda model: model)


STATES = {
    "as PEFT saves it": peft.get_peft_model_state_dict,
    "a model's state": lora_tensors,
    "torch.compile": lambda lora: lora_tensors(compiled(lora)),
    "DataParallel": lambda lora: lora_tensors(torch.nn.DataParallel(lora)),
    "DataParallel of torch.compile": lambda lora: lora_tensors(torch.nn.DataParallel(compiled(lora))),
    "injected": inner,
    "torch.compile before PEFT": renamed(lambda name: name.replace("base_model.model.",
                                                                   "base_model.model._orig_mod.")),
    "PEFT twice": renamed(lambda name: "base_model.model." + name),
    "FSDP": renamed(lambda name: "_fsdp_wrapped_module." + name.replace("self_attn",
                                                                        "_fsdp_wrapped_module.self_attn")),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_an_adapter_is_the_same_whatever_wraps_its_names(sbora, base, kind, name):
    lora = peft_adapter(base[0], (make_fa if kind == "fa" else make_fb)({}))
    lora.save_pretrained(sbora.folder / "saved")
    state = {key: tensor.contiguous().clone() for key, tensor in STATES[name](lora).items()}
    expected_wrapped = name not in ("as PEFT saves it",)
    assert (set(state) != set(load_file(sbora.folder / "saved" / "adapter_model.safetensors"))) == expected_wrapped
    (sbora.folder / "wrapped").mkdir()
    shutil.copy(sbora.folder / "saved" / "adapter_config.json", sbora.folder / "wrapped")
    save_file(state, sbora.folder / "wrapped" / "adapter_model.safetensors", {"format": "pt"})
    expected = json.loads(sbora("describe-adapter", sbora.folder / "saved", base[0]))
    assert json.loads(sbora("describe-adapter", sbora.folder / "wrapped", base[0])) == expected
    assert json.loads(sbora("describe-adapter", sbora.folder / "wrapped")) == expected


@pytest.mark.parametrize("wrap", [compiled, torch.nn.DataParallel,
                                  lambda model: torch.nn.DataParallel(compiled(model))],
                         ids=["torch.compile", "DataParallel", "both"])
def test_a_base_is_the_same_whatever_wraps_its_names(sbora, base, wrap):
    folder, model = base
    lora = peft_adapter(folder, make_fa({}))
    lora.save_pretrained(sbora.folder / "lora")
    wrapped, merged = sbora.folder / "wrapped", sbora.folder / "merged"
    for made in (wrapped, merged):
        model.config.save_pretrained(made)
    state = {name: tensor.contiguous().clone() for name, tensor in wrap(model).state_dict().items()}
    assert all(name.startswith(("module.", "_orig_mod.")) for name in state)
    save_file(state, wrapped / "model.safetensors", {"format": "pt"})
    sbora("merge-adapter", wrapped, sbora.folder / "lora", merged / "model.safetensors")
    tokens = some_tokens(model)
    assert relative(logits(load_llama(merged), tokens), logits(lora, tokens)) < 1e-5


# ---- a head that is the embedding

def test_a_tied_head_is_merged_alone_and_read_so_by_transformers(sbora, tmp_path):
    """PEFT merges into the embedding too, with a warning; sbora into the head, which transformers 5 then reads."""
    folder = tmp_path / "tied"
    model = make_llama(folder, tie_word_embeddings=True)
    tokens = some_tokens(model)
    lora = peft_adapter(folder, make_fa({}), target_modules=["lm_head", "q_proj"])
    adapted = logits(lora, tokens)
    lora.save_pretrained(sbora.folder / "lora", save_embedding_layers=False)
    # Where the file has no head, there is nothing to merge into.
    with pytest.raises(Refused, match="where the head is the embedding 'model.embed_tokens' .tie_word_embeddings."):
        sbora("merge-adapter", folder, sbora.folder / "lora", sbora.folder / "out.safetensors")
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        assert relative(logits(lora.merge_and_unload(), tokens), adapted) > 1e-2
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for tied in (True, False):  # transformers 5 takes the head that the file has, and says so
        merged = sbora.folder / f"merged_{tied}"
        model.config.tie_word_embeddings = tied
        model.config.save_pretrained(merged)
        sbora("merge-adapter", folder, sbora.folder / "lora", merged / "model.safetensors")
        assert relative(logits(load_llama(merged), tokens), adapted) < 1e-5


# ---- a base that is only there as codes

@pytest.mark.parametrize("config", [{"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                                    {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4",
                                     "bnb_4bit_use_double_quant": True},
                                    {"load_in_4bit": True, "bnb_4bit_quant_storage": torch.bfloat16},
                                    {"load_in_8bit": True}],
                         ids=["NF4", "FP4 nested", "in bf16", "int8"])
def test_layers_of_a_quantised_checkpoint_have_the_layers_sizes(sbora, base, config):
    import transformers
    quantisation = transformers.BitsAndBytesConfig(llm_int8_skip_modules=["lm_head"], **config)
    model = transformers.LlamaForCausalLM.from_pretrained(base[0], quantization_config=quantisation, device_map="cpu")
    model.save_pretrained(sbora.folder / "codes")
    expected = {name: [module.out_features, module.in_features] for name, module in base[1].named_modules()
                if isinstance(module, torch.nn.Linear)}
    found = json.loads(sbora("list-modules", sbora.folder / "codes"))
    assert {name: found[name] for name in expected} == expected
    lora = peft_adapter(base[0], make_fa({}))
    lora.save_pretrained(sbora.folder / "lora")
    with pytest.raises(Refused, match="merge into the model that was quantised"):
        sbora("merge-into-files", sbora.folder / "codes", sbora.folder / "lora", sbora.folder / "out.safetensors")
    assert not (sbora.folder / "out.safetensors").exists()
