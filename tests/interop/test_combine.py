"""Several adapters as one, beside PEFT's add_weighted_adapter where that is exact in the update, and its ties."""

import json

import peft
import pytest
import torch
from peft.utils.merge_utils import magnitude_prune, ties

from models import load_llama, make_llama

TARGETS = ["q_proj", "v_proj", "down_proj"]
WEIGHTS = [1.0, -0.5, 0.25]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, make_llama(folder)


def trained(sbora, base, kind, seeds):
    """An adapter a seed, in FOLDER/SEED; equal seeds have equal regions, and other steps other values."""
    for number, seed in enumerate(seeds):
        config = {"peft_type": "SBORA", "adapter_name": f"sbora_{kind}", "r": 8, "lora_alpha": 20 + number,
                  "target_modules": TARGETS, "task_type": "CAUSAL_LM", "bias": "none"}
        path = sbora.folder / "config.json"
        path.write_text(json.dumps(config))
        sbora("train-adapter", base, path, seed, 2 + 3 * number, sbora.folder / str(number))


def combined(sbora, count, method, density=1.0, signs="total", weights=WEIGHTS):
    words = [word for i in range(count) for word in (sbora.folder / str(i) / "native", weights[i])]
    sbora("combine-adapters", method, density, signs, sbora.folder / "one", *words)


def updates(model, adapter):
    """Of each adapted module, ΔW in double."""
    found = {}
    for name, module in model.named_modules():
        if not hasattr(module, "lora_A") or adapter not in module.lora_A:
            continue
        a, b = module.lora_A[adapter].weight.double(), module.lora_B[adapter].weight.double()
        found[name] = b @ a * module.scaling[adapter]
    return found


def close(ours, theirs, bound):
    assert ours.keys() == theirs.keys() and ours
    for name, expected in theirs.items():
        assert (ours[name] - expected).abs().max() <= bound * expected.abs().max(), name


@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_linear_is_what_peft_concatenates(sbora, base, kind):
    folder, _ = base
    trained(sbora, folder, kind, [1, 2, 3])
    combined(sbora, 3, "linear", weights=[1.0, 0.5, 0.25])
    model = peft.PeftModel.from_pretrained(load_llama(folder), sbora.folder / "0" / "peft", adapter_name="a0")
    for number in (1, 2):
        model.load_adapter(sbora.folder / str(number) / "peft", adapter_name=f"a{number}")
    model.add_weighted_adapter(["a0", "a1", "a2"], [1.0, 0.5, 0.25], "one", combination_type="cat")
    model.load_adapter(sbora.folder / "one" / "peft", adapter_name="ours")
    close(updates(model, "ours"), updates(model, "one"), 1e-6)


@pytest.mark.parametrize("signs", ["total", "frequency"])
@pytest.mark.parametrize("density", [1.0, 0.6, 0.2])
@pytest.mark.parametrize("kind", ["fa", "fb"])
def test_ties_and_magnitude_prune_are_pefts_on_the_region(sbora, base, kind, density, signs):
    """Equal regions: PEFT's functions on the elements that all adapters have, as it calls them on a tensor."""
    folder, _ = base
    trained(sbora, folder, kind, [5, 5, 5])
    described = [json.loads(sbora("describe-adapter", sbora.folder / str(i) / "native"))["modules"] for i in range(3)]
    for method, function in (("ties", ties), ("magnitude_prune", magnitude_prune)):
        combined(sbora, 3, method, density, signs)
        ours = json.loads(sbora("describe-adapter", sbora.folder / "one" / "native"))["modules"]
        assert ours.keys() == described[0].keys()
        for name, module in ours.items():
            tensors = []
            for adapter in described:
                theirs = adapter[name]
                values = torch.tensor(theirs["trained"], dtype=torch.float32).reshape(theirs["shape"])
                values = values * torch.tensor(theirs["scale"], dtype=torch.float32)
                order = torch.tensor(theirs["indices"]).argsort()
                assert sorted(theirs["indices"]) == module["indices"]
                tensors.append((values[:, order] if kind == "fa" else values[order]).double())
            more = {"majority_sign_method": signs} if method == "ties" else {}
            expected = function(tensors, torch.tensor(WEIGHTS, dtype=torch.float64), density, **more)
            got = torch.tensor(module["trained"], dtype=torch.float64).reshape(module["shape"])
            assert (got - expected).abs().max() <= 1e-6 * expected.abs().max(), (method, name)
