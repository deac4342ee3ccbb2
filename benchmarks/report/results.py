"""The suites' JSON files as rows."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
MODIFIER = re.compile(r"(min_time|repeats|iterations):.*|(manual|real|process)_time")


@dataclass
class Row:
    """A benchmark's median over its repetitions. `name` without what Google Benchmark adds to it."""

    name: str
    seconds: float
    flops: float | None  # per second
    bytes: float | None
    mad: float = 0.0  # relative
    keys: dict = field(default_factory=dict)  # n, r, t, isa
    words: list = field(default_factory=list)  # the other parts of the name

    def __post_init__(self):
        for part in self.name.split("/"):
            key, equals, value = part.partition("=")
            if equals:
                self.keys[key] = int(value) if value.isdigit() else value
            else:
                self.words.append(part)


def read(folder):
    """Rows of all files in their order, and the context of the latest."""
    rows, context = [], {}
    for path in sorted(Path(folder).glob("*.json")):
        data = json.loads(path.read_text())
        if data["context"].get("date", "") >= context.get("date", ""):
            context = data["context"]
        for entry in data["benchmarks"]:
            if entry.get("error_occurred"):
                continue
            parts = entry["run_name"].split("/")
            wall = "manual_time" in parts or "real_time" in parts
            name = "/".join(part for part in parts if not MODIFIER.fullmatch(part))
            time = entry["real_time" if wall else "cpu_time"] * SECONDS[entry["time_unit"]]
            if entry.get("aggregate_name") == "median":
                rows.append(Row(name, time, entry.get("flops"), entry.get("bytes")))
            elif entry.get("aggregate_name") == "mad" and rows and rows[-1].name == name:
                rows[-1].mad = time / rows[-1].seconds
    return list({row.name: row for row in rows}.values()), context  # the later of two with one name


def select(rows, *words, **keys):
    """Those whose names begin with the words and have the keys; None: have no such key."""
    return [row for row in rows
            if row.words[: len(words)] == list(words)
            and all(row.keys.get(key) == value for key, value in keys.items())]


def find(rows, *words, **keys):
    """The one that has exactly those words, or None."""
    matching = [row for row in select(rows, *words, **keys) if len(row.words) == len(words)]
    return matching[0] if matching else None


def distinct(values):
    return list(dict.fromkeys(values))
