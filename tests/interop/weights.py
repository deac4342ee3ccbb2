"""Weights that tell quantisers apart, by name: each a function of a count and a blocksize, in f32."""

import torch


def normal(count, blocksize):
    return torch.randn(count, generator=torch.Generator().manual_seed(blocksize)) * 0.05


def constant(count, blocksize):
    return torch.full((count,), -0.37)


def zero(count, blocksize):
    return torch.zeros(count)


def some_zero_blocks(count, blocksize):
    values = normal(count, blocksize)
    values.view(-1)[: 2 * blocksize] = 0
    values[3 * blocksize : 4 * blocksize] = -0.0
    return values


def denormal(count, blocksize):
    """Blocks on both sides of 1e-38, which upstream takes for the least scale."""
    generator = torch.Generator().manual_seed(3)
    steps = torch.randint(-(1 << 23), 1 << 23, (count,), generator=generator, dtype=torch.int64)
    exponents = torch.arange(count).div(blocksize, rounding_mode="floor") % 24
    return steps.double().mul(2.0**-149).div(2.0**exponents).mul(4).float()


def huge(count, blocksize):
    """1 / absmax is denormal."""
    return normal(count, blocksize).div(0.3).clamp(-1, 1) * 3.3e38


def sparse(count, blocksize):
    """One value a block: nearly all codes are those of zero."""
    values = torch.zeros(count)
    values[:: max(2, blocksize // 3)] = torch.linspace(-2, 2, len(values[:: max(2, blocksize // 3)]))
    return values


def midpoints(code):
    ordered = code.sort().values
    return (ordered[:-1] + ordered[1:]) / 2


def around(values, ulps):
    """Each value with its neighbours, as many to each side."""
    below, above, rows = values, values, [values]
    for _ in range(ulps):
        below = torch.nextafter(below, torch.tensor(-torch.inf))
        above = torch.nextafter(above, torch.tensor(torch.inf))
        rows += [below, above]
    return torch.stack(rows, 1)


def knife_edge(code):
    """Blocks of values whose quotients by absmax are midpoints of codes, or up to three ulps beside."""

    def make(count, blocksize):
        centres = midpoints(code)
        values = torch.empty(count)
        generator = torch.Generator().manual_seed(11)
        for number, begin in enumerate(range(0, count, blocksize)):
            absmax = [1.0, 0.75, 3.0, 0.1][number] if number < 4 else torch.rand(1, generator=generator).item() + 1e-3
            absmax = torch.tensor(absmax)
            edges = around(centres * absmax, 3).reshape(-1).roll(-37 * number)
            block = edges.repeat(blocksize // len(edges) + 1)[: min(blocksize, count - begin)].clone()
            block[0] = absmax
            values[begin : begin + len(block)] = block
        return values

    return make
