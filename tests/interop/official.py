"""The layers of the paper's code and of LoRA, over frozen linear layers of a PyTorch model."""

import torch
import torch.nn.functional as F
from torch import nn


class Adapted(nn.Module):
    """A frozen linear layer and an adapter: fa gathers inputs, fb adds to some outputs, lora does neither."""

    def __init__(self, linear, method, index, a, b, scaling):
        super().__init__()
        self.linear, self.method, self.index, self.scaling = linear, method, index, scaling
        self.a = None if a is None else nn.Parameter(a)
        self.b = None if b is None else nn.Parameter(b)

    def forward(self, x):
        y = self.linear(x)
        if self.method == "fa":
            return y + F.linear(x[..., self.index], self.b) * self.scaling
        if self.method == "fb":
            return y.index_add(-1, self.index, F.linear(x, self.a) * self.scaling)
        return y + F.linear(F.linear(x, self.a), self.b) * self.scaling


def adapt(model, plan, slots, parameters):
    """Puts the adapters that the slots describe on a model's layers. Returns them, with their slots."""
    model.requires_grad_(False)
    adapted = []
    for slot in slots:
        halves, at = {}, slot["offset"]
        for half, rows, cols in (("a", slot["rank"], slot["d_in"]), ("b", slot["d_out"], slot["rank"])):
            halves[half] = None
            if slot[half]:
                assert slot[half] == rows * cols
                halves[half] = parameters[at : at + rows * cols].clone().reshape(rows, cols)
                at += rows * cols
        parent, name = slot["module"].rsplit(".", 1)
        parent = model.get_submodule(parent)
        index = torch.tensor(slot["indices"]) if "indices" in slot else None
        layer = Adapted(getattr(parent, name), plan["method"], index, halves["a"], halves["b"],
                        plan["alpha"] / plan["rank"])
        setattr(parent, name, layer)
        adapted.append((slot, layer))
    return adapted


def flat(adapted, of):
    """of(parameter) of all halves, in the order of sbora's flat array."""
    pieces = []
    for _, layer in sorted(adapted, key=lambda pair: pair[0]["offset"]):
        pieces += [of(half).reshape(-1) for half in (layer.a, layer.b) if half is not None]
    return torch.cat(pieces)
