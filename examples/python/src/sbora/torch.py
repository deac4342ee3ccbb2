"""sbora in models of torch: adapt() puts adapters on a model's linear layers, autograd runs sbora's kernels."""

import json

import torch

from . import _sbora
from ._sbora import ConfigError


class _AdaptedProduct(torch.autograd.Function):
    """y = x·(W + ΔW)ᵀ + bias; gradients of x and of the trained half. Tokens are rows."""

    @staticmethod
    def forward(ctx, x, trained, layer, adapter, dropout_step):
        y = x.new_empty(len(x), layer.d_out)
        # What backward needs: its region's inputs (FA), or all of x (FB).
        saved = trained.new_empty(len(x), adapter.rank) if adapter.kind == "FA" else x
        layer.training_forward(x.detach(), y, adapter, saved.detach(), dropout_step)
        ctx.save_for_backward(saved)
        ctx.layer, ctx.adapter, ctx.dropout_step, ctx.shape = layer, adapter, dropout_step, trained.shape
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        (saved,) = ctx.saved_tensors
        dy = dy.contiguous()
        dx = dy.new_empty(len(dy), ctx.layer.d_in) if ctx.needs_input_grad[0] else None
        gradient = torch.zeros(ctx.shape)
        ctx.layer.training_backward(dy, dx, ctx.adapter, saved.detach(), gradient, ctx.dropout_step)
        return dx, gradient, None, None, None


class Linear(torch.nn.Module):
    """A torch.nn.Linear, frozen, with an adapter on it, computed by sbora.

    The weight is used where it lies: float32 or bfloat16 on the CPU. The parameter `trained` is the adapter's own
    memory, so that files are written from it; it stays in float32 whatever the model is converted to. Dropout's masks
    come from torch's generator, so recomputation (gradient checkpointing) repeats them.
    """

    def __init__(self, base, adapter):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.adapter = adapter
        self.trained = torch.nn.Parameter(torch.from_dlpack(adapter.parameters))
        self._merger = None

    def _apply(self, fn, recurse=True):
        self.base._apply(fn)  # and not `trained`
        return self

    def extra_repr(self):
        return f"{self.adapter.kind}, rank={self.adapter.rank}, scale={self.adapter.scale:g}"

    def merge(self):
        """W += ΔW in the weight's memory; forward is the base's alone then."""
        merger = _sbora.Merger(self.base.weight.detach())
        merger.merge(self.adapter)
        self._merger = merger

    def unmerge(self):
        """Back to the last bit."""
        if self._merger is not None:
            self._merger.unmerge(self.adapter)
            self._merger = None

    @torch.compiler.disable
    def forward(self, x):
        if self._merger is not None:
            return self.base(x)
        bias = None if self.base.bias is None else self.base.bias.detach().float()
        layer = _sbora.Linear(self.base.weight.detach(), bias)
        tokens = x.reshape(-1, x.shape[-1])
        if tokens.stride(1) != 1:
            tokens = tokens.contiguous()
        if torch.is_grad_enabled() or self.training:
            step = None
            if self.training and self.adapter.dropout > 0:
                step = int(torch.randint(2**62, ()))
            y = _AdaptedProduct.apply(tokens, self.trained, layer, self.adapter, step)
        else:
            y = tokens.new_empty(len(tokens), layer.d_out)
            layer.forward(tokens.detach(), y, [self.adapter])
        return y.view(*x.shape[:-1], layer.d_out)


def linear_modules(model, config=None):
    """What adapters of a model may be on, as (name, d_out, d_in). The head isn't part of PEFT's all-linear."""
    targets = (config or {}).get("target_modules")
    without = None
    if isinstance(targets, str) and targets.lower() == "all-linear" and hasattr(model, "get_output_embeddings"):
        without = model.get_output_embeddings()
    return [(name, *module.weight.shape) for name, module in model.named_modules()
            if type(module) is torch.nn.Linear and module is not without]


def put_on(model, adapter):
    """Replaces the modules that a ModelAdapter names by Linear, and freezes all else. Errors: ConfigError."""
    if adapter.replaced:
        raise ConfigError(f"sbora.torch: the adapter replaces {', '.join(adapter.replaced)} as a whole, "
                          "which isn't done here; merge_checkpoint does it in files")
    modules = {name: model.get_submodule(name) for name in adapter.modules}
    if unfit := [name for name, module in modules.items() if type(module) is not torch.nn.Linear]:
        raise ConfigError(f"sbora.torch: {', '.join(unfit)}: not a torch.nn.Linear, or adapted already; unload() first")
    model.requires_grad_(False)
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, Linear(module, adapter[name]))
    return adapter


def adapt(model, config, *, kind=None, seed=0):
    """Puts new adapters on the linear layers that a config chooses by PEFT's rules, and freezes all else.

    config: keys of PEFT's LoraConfig as a dict (r, lora_alpha, use_rslora, lora_dropout, target_modules, rank_pattern
    …), or a LoraConfig's to_dict(). kind: FA or FB; FA where
    neither it nor the config's adapter_name says. Returns the ModelAdapter; its save() writes what was trained.
    Errors: ConfigError, before the model is changed.
    """
    config = {"peft_type": "SBORA", **config}
    if asked := [key for key in ("modules_to_save", "trainable_token_indices", "target_parameters")
                 if config.get(key)] + (["bias"] if config.get("bias", "none") != "none" else []):
        raise ConfigError(f"sbora.torch: {', '.join(asked)}: only linear layers are adapted here")
    if kind is None and "adapter_name" not in config:
        kind = "FA"
    return put_on(model, _sbora.make_adapter(config, linear_modules(model, config), seed, kind))


def load(model, folder):
    """Puts the adapter of a folder (sbora's, the official code's, PaCA's, a PEFT LoRA with a one-hot half) on a model."""
    config = json.loads(_sbora.load_config_text(folder))
    return put_on(model, _sbora.load_adapter(folder, linear_modules(model, config))[0])


def adapted_layers(model):
    """Of a list: the layers are replaced while callers go through them."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Linear)]


def merge(model):
    """Merges all adapters into the weights. All or, where one would not be finite, none."""
    merged = []
    try:
        for _, layer in adapted_layers(model):
            layer.merge()
            merged.append(layer)
    except _sbora.Error:
        for layer in merged:
            layer.unmerge()
        raise


def unmerge(model):
    """Takes them out again, to the last bit."""
    for _, layer in adapted_layers(model):
        layer.unmerge()


def unload(model):
    """Puts the torch.nn.Linear back, merged or not as they are."""
    for name, layer in adapted_layers(model):
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.base)
