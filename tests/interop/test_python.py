"""The Python package of examples/python: its layers beside torch's dense formulas, its models beside PEFT's, its files."""

import sys
import threading

import numpy
import peft
import pytest
import sbora as package
import sbora.torch
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint

from models import load_llama, logits, make_llama, relative, some_tokens

CONFIG = {"r": 6, "lora_alpha": 9, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, make_llama(folder)


def adapted(folder, kind, config=CONFIG):
    """A model with trained adapters, and those."""
    model = load_llama(folder)
    adapter = sbora.torch.adapt(model, config, kind=kind, seed=5)
    parameters = torch.from_dlpack(adapter.parameters)
    parameters.copy_(0.1 * torch.randn(parameters.shape, generator=torch.Generator().manual_seed(7)))
    return model, adapter


def loss_of(model, tokens):
    return model(input_ids=tokens, labels=tokens).loss


# ---- one layer

def layer_and_adapter(kind, dtype, d_out=20, d_in=36, transposed=False, **options):
    torch.manual_seed(3)
    layer = torch.nn.Linear(d_in, d_out).to(dtype)
    if transposed:
        layer.weight.data = layer.weight.data.T.contiguous().T
    make = package.fa_adapter if kind == "FA" else package.fb_adapter
    adapter = make(d_out, d_in, [7, 2, 19, 11], alpha=6, **options)
    torch.from_dlpack(adapter.parameters).normal_()
    return sbora.torch.Linear(layer, adapter)


def dense_weight(layer, trained):
    shape, at = layer.base.weight.shape, torch.tensor(layer.adapter.indices)
    delta = torch.zeros(shape).index_copy(1 if layer.adapter.kind == "FA" else 0, at, trained)
    return layer.base.weight.detach().float() + layer.adapter.scale * delta


@pytest.mark.parametrize("transposed", [False, True], ids=["as torch has it", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["FA", "FB"])
def test_results_and_gradients_are_the_dense_formulas(kind, dtype, transposed):
    layer = layer_and_adapter(kind, dtype, transposed=transposed)
    x = torch.randn(3, 11, 36).to(dtype).requires_grad_()
    dy = torch.randn(3, 11, 20).to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    y.backward(dy)
    trained, dense_x = layer.trained.detach().clone().requires_grad_(), x.detach().float().requires_grad_()
    expected = F.linear(dense_x, dense_weight(layer, trained), layer.base.bias.detach().float())
    expected.backward(dy.float())
    bound = 1e-5 if dtype == torch.float32 else 1e-2
    for ours, theirs in ((y, expected), (x.grad, dense_x.grad), (layer.trained.grad, trained.grad)):
        assert relative(ours.float(), theirs) < bound
    with torch.no_grad():
        assert torch.equal(layer.eval()(x), y)
    before = layer.base.weight.detach().clone()
    layer.merge()
    assert relative(layer(x).float(), expected) < bound
    layer.unmerge()
    assert torch.equal(layer.base.weight, before)


@pytest.mark.parametrize("kind", ["FA", "FB"])
def test_recomputation_repeats_dropouts_masks(kind):
    layer = layer_and_adapter(kind, torch.float32, dropout=0.4)
    x = torch.randn(9, 36)
    gradients = []
    for run in (layer, layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        torch.manual_seed(len(gradients) and 8)
        layer.zero_grad()
        inputs = x.clone().requires_grad_()
        run(inputs).square().sum().backward()
        gradients.append((layer.trained.grad.clone(), inputs.grad))
    assert not torch.equal(gradients[0][0], gradients[1][0])
    for ours, theirs in zip(gradients[1], gradients[2]):
        assert torch.equal(ours, theirs)


def test_arrays_of_numpy_are_used_in_place():
    weight, x = numpy.ones((3, 5), numpy.float32), numpy.ones((2, 5), numpy.float32)
    weight.flags.writeable = False
    y, gradient = numpy.empty((2, 3), numpy.float32), numpy.zeros((1, 5), numpy.float32)
    layer, adapter = package.Linear(weight), package.fb_adapter(3, 5, [1], alpha=2)
    numpy.asarray(adapter.parameters)[:] = 10
    layer.training_forward(x, y, adapter, None)
    assert y.tolist() == [[5, 105, 5]] * 2
    layer.training_backward(numpy.ones((2, 3), numpy.float32), None, adapter, x, gradient)
    assert gradient.tolist() == [[4] * 5]
    with pytest.raises(TypeError, match="weight has to be an array on the CPU.* that may be written"):
        package.Merger(weight)


@pytest.mark.parametrize("error, text, call", [
    (package.RegionError, "index 3 comes twice, again at position 1", lambda: package.fa_adapter(4, 5, [3, 3])),
    (package.ShapeError, "weight has to have 2 dimensions", lambda: package.Linear(torch.zeros(3))),
    (package.ShapeError, "isn't copied; give contiguous", lambda: package.Linear(torch.zeros(4, 6, 2)[:, :, 0].T[::2])),
    (package.AssertionError, "x has 2 tokens of 4 features, d_in is 3",
     lambda: package.Linear(torch.zeros(4, 3)).forward(torch.zeros(2, 4), torch.zeros(2, 4))),
    (TypeError, "weight has to be float32 or bfloat16", lambda: package.Linear(torch.zeros(2, 2, dtype=torch.float16))),
    (TypeError, "x and y have to be of one dtype",
     lambda: package.Linear(torch.zeros(4, 4)).forward(torch.zeros(2, 4), torch.zeros(2, 4).bfloat16())),
    (package.MergeError, "no adapter on this region is merged",
     lambda: package.Merger(torch.zeros(4, 5)).unmerge(package.fa_adapter(4, 5, [3]))),
    (package.ConfigError, "no module is named 'k_proj'",
     lambda: package.make_adapter({"peft_type": "SBORA", "target_modules": ["k_proj"]}, [("q_proj", 4, 4)], kind="FA")),
    (package.FileError, "no adapter_config.json there", lambda: package.load_adapter("/nowhere")),
    (package.ConfigError, "bias: only linear layers are adapted here",
     lambda: sbora.torch.adapt(torch.nn.Sequential(), {"bias": "all", "target_modules": ["0"]})),
])
def test_errors_are_sboras(error, text, call):
    with pytest.raises(error, match=text) as raised:
        call()
    assert error is TypeError or isinstance(raised.value, package.Error)


def test_what_would_not_be_finite_is_named_and_nothing_changes():
    weight = torch.full((4, 5), 3e38)
    adapter = package.fa_adapter(4, 5, [3])
    torch.from_dlpack(adapter.parameters).fill_(1e37)
    with pytest.raises(package.NotFiniteError) as raised:
        package.Merger(weight).merge(adapter)
    assert (raised.value.row, raised.value.col) == (0, 3) and (weight == 3e38).all()


def test_other_threads_run_while_a_layer_computes():
    # Of numpy: handing over torch's arrays lets go of the lock by itself.
    weight, x, y = (numpy.ones((rows, 512), numpy.float32) for rows in (512, 2048, 2048))
    layer = package.Linear(weight)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # so that only a call that lets go of the lock lets another thread run
    try:
        for _ in range(50):
            begun, done = threading.Event(), []
            thread = threading.Thread(target=lambda: (begun.set(), layer.forward(x, y), done.append(True)))
            thread.start()
            begun.wait()
            meanwhile = not done
            thread.join()
            if meanwhile:
                return
    finally:
        sys.setswitchinterval(interval)
    pytest.fail("50 calls, and nobody else ran during one")


# ---- whole models

@pytest.mark.parametrize("changes", [{}, {"use_rslora": True, "rank_pattern": {"q_proj": 3}}], ids=str)
@pytest.mark.parametrize("kind", ["FA", "FB"])
def test_a_model_has_pefts_logits_and_gradients(base, tmp_path, kind, changes):
    folder, plain = base
    model, adapter = adapted(folder, kind, {**CONFIG, **changes})
    tokens = some_tokens(model)
    assert relative(logits(plain, tokens), logits(model, tokens)) > 1e-2
    adapter.save(tmp_path, "peft")
    theirs = peft.PeftModel.from_pretrained(load_llama(folder), tmp_path, is_trainable=True)
    assert relative(logits(model, tokens), logits(theirs, tokens)) < 1e-5
    loss_of(model, tokens).backward()
    loss_of(theirs, tokens).backward()
    half = "lora_B" if kind == "FA" else "lora_A"
    for name, layer in sbora.torch.adapted_layers(model):
        gradient = getattr(theirs.base_model.model.get_submodule(name), half)["default"].weight.grad
        assert relative(layer.trained.grad, gradient) < 1e-4, name
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f"{name}.trained" for name in adapter.modules}


def test_training_follows_pefts(base, tmp_path):
    """FB's half begins at zero as lora_A doesn't, so FA: the same optimiser on lora_B of the same one-hot lora_A."""
    folder, _ = base
    model = load_llama(folder)
    adapter = sbora.torch.adapt(model, peft.LoraConfig(**CONFIG).to_dict(), seed=5)
    adapter.save(tmp_path, "peft")
    theirs = peft.PeftModel.from_pretrained(load_llama(folder), tmp_path, is_trainable=True)
    losses = []
    for trained in (model, theirs):
        halves = ("trained", "lora_B.default.weight")
        parameters = [p for name, p in trained.named_parameters() if name.endswith(halves)]
        optimiser = torch.optim.AdamW(parameters, lr=1e-2)
        losses.append([])
        for step in range(12):
            loss = loss_of(trained, some_tokens(model, seed=step % 2))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0] - 0.1
    assert max(abs(ours - other) for ours, other in zip(*losses)) < 1e-4


@pytest.mark.parametrize("layout", ["native", "official", "paca", "peft"])
def test_files_come_back_the_same(base, tmp_path, layout):
    folder, plain = base
    model, adapter = adapted(folder, "FA")
    expected = logits(model, some_tokens(model))
    adapter.save(tmp_path / "first", layout)
    again = load_llama(folder)
    loaded = sbora.torch.load(again, tmp_path / "first")
    assert loaded.kind == "FA" and torch.equal(logits(again, some_tokens(again)), expected)
    assert sorted(loaded.modules) == sorted(adapter.modules)
    loaded.save(tmp_path / "second", layout)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

    weights = [p.clone() for p in again.parameters()]
    sbora.torch.merge(again)
    assert relative(logits(again, some_tokens(again)), expected) < 1e-5
    sbora.torch.unmerge(again)
    assert all(torch.equal(a, b) for a, b in zip(weights, again.parameters()))
    sbora.torch.unload(again)
    assert torch.equal(logits(again, some_tokens(again)), logits(plain, some_tokens(again)))


def test_a_checkpoint_is_merged_into(base, tmp_path):
    folder, plain = base
    model, adapter = adapted(folder, "FB")
    plain.config.save_pretrained(tmp_path)
    package.merge_checkpoint(folder, adapter, tmp_path)
    assert relative(logits(load_llama(tmp_path), some_tokens(model)), logits(model, some_tokens(model))) < 1e-5


def test_a_converted_model_trains_in_bfloat16(base):
    model, adapter = adapted(base[0], "FA", {**CONFIG, "target_modules": "all-linear"})
    assert "lm_head" not in adapter.modules and len(adapter.modules) == 14
    expected = logits(model, some_tokens(model))
    model.to(torch.bfloat16).train()
    loss = loss_of(model, some_tokens(model))
    loss.backward()
    assert all(p.dtype == (torch.float32 if p.requires_grad else torch.bfloat16) for p in model.parameters())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert relative(logits(model, some_tokens(model)), expected) < 5e-2
    with pytest.raises(package.ConfigError, match="adapted already"):
        sbora.torch.put_on(model, adapter)
