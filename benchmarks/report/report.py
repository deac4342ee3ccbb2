"""Writes report.md and plots (SVG, by gnuplot) from the JSON files that the suites keep; run.sh --report calls it."""

import argparse
from pathlib import Path

import plots
from results import distinct, find, read, select

CONTEXT = {
    "machine": "machine", "processors": "cores", "last_level_cache_bytes": "last-level cache, bytes",
    "huge_pages": "2 MiB pages", "isa_active": "instruction set in use", "isa_detected": "instruction set detected",
    "compiler": "compiler", "flags": "flags", "peer_flags": "flags of the peers", "peer_eigen": "Eigen compiled for",
    "commit": "commit", "date": "date", "suites": "suites",
}
PEERS = ["sbora", "onednn", "openblas", "eigen"]


def table(head, lines):
    """Markdown; None is an empty cell, floats have three digits."""
    def cell(value):
        if value is None:
            return ""
        return f"{value:.3g}" if isinstance(value, float) and value < 1000 else f"{value:.0f}" \
            if isinstance(value, float) else str(value)
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(cell(value) for value in line) + " |" for line in lines), ""]


def spaced(shape):
    return shape.replace("x", " × ")


def product_tables(rows):
    text = []
    for operation, what in (("forward", "y = x·Wᵀ"), ("backward", "dx = dy·W")):
        for kind in ("f32", "bf16"):
            mine = select(rows, operation, kind)
            peers = [peer for peer in PEERS if any(row.words[3] == peer for row in mine)]
            lines = []
            for shape in distinct(row.words[2] for row in mine):
                for threads in distinct(row.keys["t"] for row in mine):
                    peak = find(rows, "machine", f"peak_{kind}", t=threads) or \
                        find(rows, "machine", "peak_f32", t=threads)
                    for tokens in distinct(row.keys["n"] for row in mine):
                        found = [find(rows, operation, kind, shape, peer, n=tokens, t=threads) for peer in peers]
                        if not any(found):
                            continue
                        lines.append([spaced(shape), threads, tokens,
                                      *(row.flops / 1e9 if row else None for row in found),
                                      f"{100 * found[0].flops / peak.flops:.0f} %" if found[0] and peak else None,
                                      found[0].bytes / 1e9 if found[0] and tokens == 1 else None])
            if lines:
                text += [f"## {what}, {kind}", "", "GFLOP/s, medians.", "",
                         *table(["W", "threads", "tokens", *peers, "of the FMA peak", "W, GB/s"], lines)]
    return text


def layer_tables(rows):
    text = []
    for operation, what in (("layer_forward", "Forward with an adapter"),
                            ("layer_step", "Training step: forward, backward with dx, AdamW")):
        lines = []
        for base in (row for row in select(rows, operation) if row.words[3] == "frozen"):
            mine = select(rows, operation, "f32", base.words[2], n=base.keys["n"], t=base.keys["t"])
            for rank in distinct(row.keys["r"] for row in mine if "r" in row.keys):
                found = {row.words[3]: row for row in mine if row.keys.get("r") == rank}
                lora, eigen = found.get("lora_eigen"), None
                if lora:
                    ways = ("forward",) if operation == "layer_forward" else ("forward", "backward")
                    parts = [find(rows, way, "f32", base.words[2], "eigen", n=base.keys["n"], t=base.keys["t"])
                             for way in ways]
                    eigen = sum(part.seconds for part in parts) if all(parts) else None
                lines.append([spaced(base.words[2]), base.keys["t"], base.keys["n"], rank, base.seconds * 1e3,
                              *(f"{100 * (found[kind].seconds / base.seconds - 1):+.1f} %" if kind in found else None
                                for kind in ("fa", "fb")),
                              f"{100 * (lora.seconds / eigen - 1):+.1f} %" if eigen else None,
                              f"{100 * base.mad:.1f} %"])
        if lines:
            text += [f"## {what}, f32", "", "Milliseconds of the frozen layer, and what an adapter adds to them. LoRA: "
                     "Eigen's products over Eigen's own frozen layer.", "",
                     *table(["W", "threads", "tokens", "rank", "frozen, ms", "FA", "FB", "LoRA", "MAD of frozen"],
                            lines)]
    return text


def merge_table(rows):
    lines = []
    for shape in distinct(row.words[2] for row in select(rows, "merge", "f32", isa=None) if "r" in row.keys):
        for rank in distinct(row.keys["r"] for row in select(rows, "merge", "f32", shape, isa=None)):
            found = [find(rows, way, "f32", shape, kind, r=rank, isa=None)
                     for kind in ("fa", "fb") for way in ("merge", "unmerge")]
            dense = find(rows, "merge", "f32", shape, "lora_eigen", r=rank)
            lines.append([spaced(shape), rank, *(row.seconds * 1e3 if row else None for row in found),
                          *(row.bytes / 1e9 if row else None for row in found[::2]),
                          dense.seconds * 1e3 if dense else None])
    return ["## Merging, f32", "", "Weights from memory, one thread.", "",
            *table(["W", "rank", "FA merge, ms", "FA unmerge", "FB merge", "FB unmerge", "FA merge, GB/s",
                    "FB merge, GB/s", "dense LoRA by Eigen, ms"], lines)] if lines else []


def other_table(rows):
    shown = {"forward", "backward", "layer_forward", "layer_step"}
    mine = [row for row in rows if row.words[0] not in shown]
    return ["## Everything else", "",
            *table(["benchmark", "median, ms", "MAD", "GB/s", "GFLOP/s"],
                   [[row.name, row.seconds * 1e3, f"{100 * row.mad:.1f} %", row.bytes and row.bytes / 1e9,
                     row.flops and row.flops / 1e9] for row in mine])] if mine else []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of JSON files")
    parser.add_argument("out", type=Path, help="folder that is written; made if it isn't there")
    args = parser.parse_args()

    rows, context = read(args.results)
    if not rows:
        raise SystemExit(f"report.py: no results in {args.results}")
    args.out.mkdir(parents=True, exist_ok=True)
    text = ["# sbora: measured", "",
            *table(["", ""], [[title, context[key]] for key, title in CONTEXT.items() if key in context])]
    for name in plots.all_plots(rows, args.out, context):
        text += [f"![{name}]({name})", ""]
    text += product_tables(rows) + layer_tables(rows) + merge_table(rows) + other_table(rows)
    (args.out / "report.md").write_text("\n".join(text))
    print(args.out / "report.md")


if __name__ == "__main__":
    main()
