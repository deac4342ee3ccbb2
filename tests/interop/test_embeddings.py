"""Embeddings of PEFT: trained tokens beside a LoRA and alone, LoRAs of the table, tied heads; sbora's embedding gives
PEFT's rows, sbora's merge PEFT's logits, and PEFT loads what sbora writes."""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file

from driver import Refused
from models import load_llama, logits, make_llama, relative, some_tokens
from test_adapters import one_hot_rows

EMBEDDING = "model.embed_tokens"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}
    for tied in (False, True):
        folder = tmp_path_factory.mktemp("base")
        made[tied] = folder, make_llama(folder, tie_word_embeddings=tied)
    return made


def randomise(model, kind):
    """Trained tokens anywhere, and one-hot halves of the region that `kind` has. Returns the regions by module."""
    generator = torch.Generator().manual_seed(8)
    regions = {}
    with torch.no_grad():
        for name, layer in model.base_model.model.named_modules():
            for delta in getattr(layer, "trainable_tokens_delta", {}).values():
                delta += 0.3 * torch.randn(delta.shape, generator=generator)
            if isinstance(layer, peft.tuners.lora.Embedding):  # ΔW = (B·A)ᵀ: its A is sbora's B, transposed
                a, b = layer.lora_embedding_B["default"].T, layer.lora_embedding_A["default"].T
            elif isinstance(layer, peft.tuners.lora.Linear) and not name.startswith("lm_head"):
                a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            else:
                continue
            a.copy_(torch.randn(a.shape, generator=generator) * 0.2)
            b.copy_(torch.randn(b.shape, generator=generator) * 0.2)
            regions[name] = one_hot_rows(a if kind == "fa" else b.T, name)
    return regions


def check(sbora, base, adapted, lora, expected_tables):
    """The embedding's rows, the merge's logits, and both again from what sbora writes."""
    folder, model = base
    tokens = some_tokens(model)
    expected = logits(lora, tokens)
    assert relative(logits(model, tokens), expected) > 1e-2
    described = json.loads(sbora("describe-adapter", adapted, folder))
    assert sorted(described.get("tokens", {})) == expected_tables
    for again in (adapted, sbora.folder / "again" / "native", sbora.folder / "again" / "peft"):
        if again != adapted:
            sbora("save-adapter-again", folder, adapted, sbora.folder / "again")
            assert json.loads(sbora("describe-adapter", again, folder)).get("tokens") == described.get("tokens")
        if described.get("tokens") or EMBEDDING in described["modules"]:
            ids = sbora.write("ids", tokens.reshape(-1))
            sbora("adapter-look-up", folder, again, EMBEDDING, ids, sbora.folder / "rows")
            rows = lora.base_model.model.get_input_embeddings()(tokens).detach()
            ours = sbora.read("rows", torch.float32, rows.shape)
            assert relative(ours, rows) < 1e-6
        merged = sbora.folder / "merged"
        model.config.save_pretrained(merged)
        sbora("merge-adapter", folder, again, merged / "model.safetensors")
        assert relative(logits(load_llama(merged), tokens), expected) < 1e-5
    back = peft.PeftModel.from_pretrained(load_llama(folder), sbora.folder / "again" / "peft")
    assert relative(logits(back, tokens), expected) < 1e-6
    sbora("merge-into-files", folder, adapted, sbora.folder / "changed.safetensors")
    in_memory = load_file(merged / "model.safetensors")
    changed = load_file(sbora.folder / "changed.safetensors")
    assert changed and all(torch.equal(values, in_memory[name]) for name, values in changed.items())
    return described


INDICES = {
    "of the embedding": (False, [7, 3, 90], [EMBEDDING]),
    "of both": (False, {"embed_tokens": [7, 3], "lm_head": [5]}, ["lm_head", EMBEDDING]),
    "of a tied table": (True, [7, 3, 90], [EMBEDDING]),
    "of a tied table and its head": (True, {"embed_tokens": [7, 3], "lm_head": [7, 3]}, [EMBEDDING]),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_trained_tokens_beside_a_lora(sbora, bases, kind, name):
    tied, indices, tables = INDICES[name]
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM",
                             trainable_token_indices=indices, ensure_weight_tying=tied)
    lora = peft.get_peft_model(load_llama(bases[tied][0]), config)
    randomise(lora, kind)
    lora.save_pretrained(sbora.folder / "lora")
    described = check(sbora, bases[tied], sbora.folder / "lora", lora, tables)
    embedding = lora.base_model.model.get_input_embeddings().token_adapter
    assert described["tokens"][EMBEDDING]["indices"] == embedding.token_indices["default"]
    delta = embedding.trainable_tokens_delta["default"].detach()
    assert torch.equal(torch.tensor(described["tokens"][EMBEDDING]["rows"]), delta.reshape(-1))


@pytest.mark.parametrize("changes", [{}, {"target_modules": ["embed_tokens"]}], ids=["by default", "by name"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_trained_tokens_alone(sbora, bases, tied, changes):
    config = peft.TrainableTokensConfig(token_indices=[7, 3, 90], task_type="CAUSAL_LM", **changes)
    lora = peft.get_peft_model(load_llama(bases[tied][0]), config)
    randomise(lora, None)
    lora.save_pretrained(sbora.folder / "lora")
    check(sbora, bases[tied], sbora.folder / "lora", lora, [EMBEDDING])
    saved = json.loads((sbora.folder / "again" / "peft" / "adapter_config.json").read_text())
    assert saved["peft_type"] == "TRAINABLE_TOKENS" and saved["token_indices"] == [7, 3, 90]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_a_lora_of_the_embedding(sbora, bases, kind, tied):
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "embed_tokens"], task_type="CAUSAL_LM",
                             ensure_weight_tying=tied)
    lora = peft.get_peft_model(load_llama(bases[tied][0]), config)
    regions = randomise(lora, kind)
    lora.save_pretrained(sbora.folder / "lora")
    described = check(sbora, bases[tied], sbora.folder / "lora", lora, [])
    assert described["kind"] == kind.upper()
    assert {name: module["indices"] for name, module in described["modules"].items()} == regions
    assert all("the base's own" in skipped for skipped in described["skipped"])
    again = load_file(sbora.folder / "again" / "peft" / "adapter_model.safetensors")
    theirs = load_file(sbora.folder / "lora" / "adapter_model.safetensors")
    assert all(torch.equal(values, theirs[name]) for name, values in again.items())


def test_a_saved_embedding_whose_head_is_tied(sbora, bases):
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", modules_to_save=["embed_tokens"],
                             ensure_weight_tying=True)
    lora = peft.get_peft_model(load_llama(bases[True][0]), config)
    randomise(lora, "fa")
    with torch.no_grad():
        lora.base_model.model.get_input_embeddings().weight.mul_(1.25)
    lora.save_pretrained(sbora.folder / "lora")
    assert "base_model.model.lm_head.weight" in load_file(sbora.folder / "lora" / "adapter_model.safetensors")
    described = check(sbora, bases[True], sbora.folder / "lora", lora, [])
    assert list(described["full"]) == [EMBEDDING + ".weight"]


def test_tokens_of_another_table_are_refused(sbora, bases):
    other = sbora.folder / "other"
    make_llama(other, vocab_size=80)
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", trainable_token_indices=[7, 90])
    lora = peft.get_peft_model(load_llama(bases[False][0]), config)
    randomise(lora, "fa")
    lora.save_pretrained(sbora.folder / "lora")
    with pytest.raises(Refused, match=r"90 at position 1 is outside \[0, 80\)"):
        sbora("describe-adapter", sbora.folder / "lora", other)
