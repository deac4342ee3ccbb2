"""Plots by gnuplot: every y-axis ends at what the machine was measured to do."""

import subprocess

from results import distinct, find, select

PEERS = {"sbora": "#0060a8", "onednn": "#d06000", "openblas": "#2a8a3c", "eigen": "#8050a0"}
TITLES = {"sbora": "sbora", "onednn": "oneDNN", "openblas": "OpenBLAS", "eigen": "Eigen"}
KINDS = {"fa": ("SBoRA-FA", "#0060a8"), "fb": ("SBoRA-FB", "#2a8a3c")}
BYTES = {"f32": 4, "bf16": 2}
LIMIT = "lc rgb '#666666' lw 1 dt 2"


def draw(path, size, panels, columns, title):
    """Panels are gnuplot's lines each; writes the SVG."""
    rows = -(-len(panels) // columns)
    script = [
        f"set terminal svg noenhanced size {size[0] * columns},{size[1] * rows + 40} font 'Helvetica,12' "
        "background '#ffffff'",
        f"set output '{path}'",
        "set border 3 lw 0.8 lc rgb '#555555'", "set tics nomirror out scale 0.6",
        "set grid y lc rgb '#e4e4e4' lw 0.7 lt 1", "set key left top reverse Left samplen 1.6 spacing 1.1",
        f"set multiplot layout {rows},{columns} title '{title}' font ',13' margins char 9,3,4,4 spacing char 9,6"
        if len(panels) > 1 else f"set title '{title}' font ',13'",
    ]
    for panel in panels:
        script += panel
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def block(name, points):
    return [f"${name} << END", *(" ".join(str(value) for value in point) for point in points), "END"]


def products(rows, folder, context):
    """forward_f32_t1.svg and so on: GFLOP/s over tokens, a panel for each layer."""
    made = []
    for operation in ("forward", "backward"):
        for kind in ("f32", "bf16"):
            for threads in distinct(row.keys["t"] for row in select(rows, operation, kind)):
                peak = find(rows, "machine", f"peak_{kind}", t=threads) or find(rows, "machine", "peak_f32", t=threads)
                read = find(rows, "machine", "read", t=threads)
                if not peak or not read:
                    continue
                mine = select(rows, operation, kind, t=threads)
                shapes = distinct(row.words[2] for row in mine)
                panels = [product_panel(mine, shape, kind, peak.flops, read.bytes) for shape in shapes]
                name = f"{operation}_{kind}_t{threads}.svg"
                title = "y = x·Wᵀ" if operation == "forward" else "dx = dy·W"
                if len(shapes) == 1:
                    title += f", W {shapes[0].replace('x', ' × ')}"
                title += f", {kind}, {threads} thread{'s' if threads > 1 else ''}, {context['isa_active']}"
                draw(folder / name, (560 if len(shapes) == 1 else 420, 330), panels, min(3, len(panels)), title)
                made.append(name)
    return made


def product_panel(rows, shape, kind, peak, bandwidth):
    mine = [row for row in rows if row.words[2] == shape]
    tokens = sorted(distinct(row.keys["n"] for row in mine))
    slope = bandwidth * 2 / BYTES[kind] / 1e9
    lines = [f"set title '{shape.replace('x', ' × ')}'"] if len(distinct(r.words[2] for r in rows)) > 1 else []
    lines += ["set logscale x 2", f"set xrange [{tokens[0] * 0.8}:{tokens[-1] * 1.25}]",
              "set xtics (" + ", ".join(f"'{n}' {n}" for n in tokens) + ")", "set xlabel 'tokens'",
              f"set yrange [0:{peak / 1e9 * 1.04}]", "set ylabel 'GFLOP/s'"]
    plots = [f"(y = x * {slope}) < {peak / 1e9} ? y : {peak / 1e9} w l {LIMIT} t 'limit: FMA peak, bandwidth of W'"]
    for number, (peer, colour) in enumerate(PEERS.items()):
        points = [(row.keys["n"], row.flops / 1e9) for row in mine if row.words[3] == peer]
        if points:
            lines += block(f"p{number}", sorted(points))
            plots.append(f"$p{number} w lp pt 7 ps 0.6 lw 2 lc rgb '{colour}' t '{TITLES[peer]}'")
    return lines + ["set samples 400", "plot " + ", ".join(plots), "unset logscale x"]


def linear_cost(rows, folder, context):
    """delta_cost.svg: milliseconds of the adapter's own part over rank and over tokens, with the line of best fit
    through the largest point and zero."""
    mine = [row for row in rows if row.words[0] in ("delta_forward", "delta_backward")]
    if not mine:
        return []
    panels = []
    for axis, fixed, label in (("r", ("n", 512), "rank, 512 tokens"), ("n", ("r", 64), "tokens, rank 64")):
        lines, plots = [], []
        for number, (operation, kind) in enumerate((o, k) for k in KINDS for o in ("delta_forward", "delta_backward")):
            points = sorted((row.keys[axis], row.seconds * 1e3) for row in mine
                            if row.words[0] == operation and row.words[3] == kind and row.keys[fixed[0]] == fixed[1])
            if not points:
                continue
            slope = sum(x * y for x, y in points) / sum(x * x for x, _ in points)
            colour = KINDS[kind][1]
            full = operation == "delta_forward"
            lines += block(f"d{number}", points)
            plots += [f"{slope} * x w l lw 1 lc rgb '{colour}' dt {1 if full else 3} not",
                      f"$d{number} w p pt {7 if full else 6} ps 0.7 lc rgb '{colour}' "
                      f"t '{KINDS[kind][0]} {'forward' if full else 'backward'}'"]
        if plots:
            lines += [f"set xlabel '{label}'", "set xrange [0:*]", "set yrange [0:*]", "set ylabel 'milliseconds'",
                      "set xtics autofreq"]
            panels.append(lines + ["plot " + ", ".join(plots)])
    title = f"An adapter alone, f32, 4096 × 4096, {context['isa_active']}; lines: proportional to x"
    draw(folder / "delta_cost.svg", (440, 330), panels, len(panels), title)
    return ["delta_cost.svg"]


def step_overhead(rows, folder, context):
    """step_overhead.svg: what the adapter adds to a training step, percent of the frozen one."""
    panels = []
    mine = select(rows, "layer_step", "f32", "4096x4096", t=1)
    for axis, fixed, label in (("n", ("r", 64), "tokens, rank 64"), ("r", ("n", 512), "rank, 512 tokens")):
        lines, plots, ticks = [], [], []
        for number, (kind, (name, colour)) in enumerate({**KINDS, "lora_eigen": ("LoRA, Eigen", "#8050a0")}.items()):
            points = []
            for row in mine:
                if row.words[3] != kind or row.keys[fixed[0]] != fixed[1]:
                    continue
                base = frozen_step(rows, row, kind)
                if base:
                    points.append((row.keys[axis], 100 * (row.seconds / base - 1)))
            if len(points) > (1 if kind == "lora_eigen" else 0):
                ticks += [x for x, _ in points]
                lines += block(f"s{number}", sorted(points))
                plots.append(f"$s{number} w lp pt 7 ps 0.6 lw 2 lc rgb '{colour}' t '{name}'")
        if plots:
            lines += ["set logscale x 2", f"set xrange [{min(ticks) * 0.8}:{max(ticks) * 1.25}]",
                      "set xtics (" + ", ".join(f"'{n}' {n}" for n in sorted(set(ticks))) + ")",
                      f"set xlabel '{label}'", "set yrange [*<0:10<*]", "set ylabel 'percent of a frozen step'"]
            panels.append(lines + ["plot " + ", ".join(plots), "unset logscale x"])
    if not panels:
        return []
    title = f"What an adapter adds to a training step, f32, 4096 × 4096, {context['isa_active']}"
    draw(folder / "step_overhead.svg", (440, 330), panels, len(panels), title)
    return ["step_overhead.svg"]


def frozen_step(rows, row, kind):
    """Seconds of the step without the adapter, by the same library."""
    shape, keys = row.words[2], {"n": row.keys["n"], "t": row.keys["t"]}
    if kind == "lora_eigen":
        both = [find(rows, way, "f32", shape, "eigen", **keys) for way in ("forward", "backward")]
        return sum(part.seconds for part in both) if all(both) else None
    base = find(rows, "layer_step", "f32", shape, "frozen", **keys)
    return base.seconds if base else None


def bandwidth(rows, folder, context):
    """bandwidth.svg: what is bound by memory against what memory does."""
    copy, read = find(rows, "machine", "copy", t=1), find(rows, "machine", "read", t=1)
    bars = [("y = W·x, f32", find(rows, "forward", "f32", "4096x4096", "sbora", n=1, t=1)),
            ("y = W·x, bf16", find(rows, "forward", "bf16", "4096x4096", "sbora", n=1, t=1)),
            ("AdamW", find(rows, "adamw", "f32", "16777216", isa=context["isa_active"])),
            ("merge FA", find(rows, "merge", "f32", "4096x4096", "fa", r=64, isa=None)),
            ("merge FB", find(rows, "merge", "f32", "4096x4096", "fb", r=64, isa=None)),
            ("unmerge FA", find(rows, "unmerge", "f32", "4096x4096", "fa", r=64, isa=None)),
            ("unmerge FB", find(rows, "unmerge", "f32", "4096x4096", "fb", r=64, isa=None))]
    bars = [(name, row.bytes / 1e9) for name, row in bars if row]
    if not bars or not copy or not read:
        return []
    top = max(copy.bytes, read.bytes) / 1e9
    lines = block("bars", [(f'"{name}"', value) for name, value in bars])
    lines += ["set style fill solid 0.85", "set boxwidth 0.6", f"set yrange [0:{top * 1.3}]", "set ylabel 'GB/s'",
              "set xtics nomirror scale 0", f"set xrange [-0.6:{len(bars) - 0.4}]", "set key right top",
              f"plot {copy.bytes / 1e9} w l lc rgb '#999999' lw 1 dt 2 t 'memcpy', "
              f"{read.bytes / 1e9} w l lc rgb '#d06000' lw 1 dt 2 t 'reading', "
              "$bars using 0:2:xtic(1) w boxes lc rgb '#0060a8' not"]
    draw(folder / "bandwidth.svg", (720, 330), [lines], 1,
         f"Bound by memory, 4096 × 4096, rank 64, 1 thread, {context['isa_active']}")
    return ["bandwidth.svg"]


def all_plots(rows, folder, context):
    made = []
    for plot in (products, step_overhead, linear_cost, bandwidth):
        made += plot(rows, folder, context)
    return made
