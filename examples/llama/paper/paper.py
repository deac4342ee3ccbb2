"""The paper's tables on a real model: fine-tunes it with each method, and keeps one line a run in results.csv.

What results.csv has isn't run again, so that a stopped script goes on where it was, also on another day. A run that was
stopped goes on from its checkpoint. paper.sh builds the program and fetches the model.
"""

import argparse
import csv
import json
import math
import pathlib
import random
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]

# alpha is twice the rank, as the official scripts have it.
METHODS = {
    "base": {"name": "base model", "options": ["--adapter_name", "sbora_fa", "--lora_r", "1", "--lora_alpha", "2"]},
    "lora_32": {"name": "LoRA, r 32", "options": ["--adapter_name", "lora", "--lora_r", "32", "--lora_alpha", "64"]},
    "fa_64": {"name": "SBoRA-FA, r 64",
              "options": ["--adapter_name", "sbora_fa", "--lora_r", "64", "--lora_alpha", "128"]},
    "fa_32": {"name": "SBoRA-FA, r 32",
              "options": ["--adapter_name", "sbora_fa", "--lora_r", "32", "--lora_alpha", "64"]},
    "fb_64": {"name": "SBoRA-FB, r 64",
              "options": ["--adapter_name", "sbora_fb", "--lora_r", "64", "--lora_alpha", "128"]},
    "fb_32": {"name": "SBoRA-FB, r 32",
              "options": ["--adapter_name", "sbora_fb", "--lora_r", "32", "--lora_alpha", "64"]},
    "qfa_64": {"name": "QSBoRA-FA, r 64, NF4",
               "options": ["--adapter_name", "sbora_fa", "--lora_r", "64", "--lora_alpha", "128", "--bits", "4"]},
    # 576 is the width of the model: all of q, k, v and up, and 576 of down's 1536 columns.
    "full": {"name": "all columns (FA, r 576)",
             "options": ["--adapter_name", "sbora_fa", "--lora_r", "576", "--lora_alpha", "1152"]},
}
TASKS = {
    "arithmetic": {"train": ["arithmetic/train.json"],
                   "tests": ["arithmetic/test_svamp.json", "arithmetic/test_addsub.json",
                             "arithmetic/test_multiarith.json", "arithmetic/test_gsm8k.json"],
                   "other": "commonsense"},
    "commonsense": {"train": ["commonsense/train_boolq.json", "commonsense/train_openbookqa.json",
                              "commonsense/train_arc_easy.json"],
                    "tests": ["commonsense/test_boolq.json", "commonsense/test_openbookqa.json",
                              "commonsense/test_arc_easy.json"],
                    "other": "arithmetic"},
}
TEST_NAMES = {"test_svamp": "SVAMP", "test_addsub": "AddSub", "test_multiarith": "MultiArith", "test_gsm8k": "GSM8K",
              "test_boolq": "BoolQ", "test_openbookqa": "OpenBookQA", "test_arc_easy": "ARC-Easy"}
# What tells one run from another, then what came out. `right` is SET:CORRECT/ROWS, separated by blanks.
KEYS = ["phase", "task", "method", "learning_rate", "seed", "steps", "batch_size", "eval_rows", "bf16"]
VALUES = ["machine", "parameters", "step_ms", "peak_mib", "eval_loss", "other_before", "other_after", "right"]


def arguments():
    parser = argparse.ArgumentParser(prog="sh examples/llama/paper.sh", description=__doc__.split("\n\n")[0])
    parser.add_argument("data", nargs="?", type=pathlib.Path, help="folder of the paper's task data")
    parser.add_argument("--tasks", default="arithmetic,commonsense")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps a run [60]")
    parser.add_argument("--batch_size", type=int, default=16, help="sequences a step [16]")
    parser.add_argument("--eval_rows", type=int, default=100, help="questions of each test set [100]")
    parser.add_argument("--grid", default="0.0005,0.002,0.008",
                        help="learning rates: the best for a method has the lowest validation loss after half of the "
                             "steps on the first task, first seed")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (llama's option)")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results.csv")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "paper", help="checkpoints, logs")
    parser.add_argument("--tables", action="store_true", help="print the tables of results.csv; run nothing")
    parser.add_argument("--check", action="store_true",
                        help="exit status 1 if README.md beside this script hasn't the tables of results.csv")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--base_model", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not (chosen.tables or chosen.check) and (chosen.data is None or not chosen.data.is_dir()):
        parser.error("needs the folder of the task data")
    for word, known in (("tasks", TASKS), ("methods", METHODS)):
        unknown = [each for each in getattr(chosen, word).split(",") if each not in known]
        if unknown:
            parser.error(f"no {word} {', '.join(unknown)}; there are: {', '.join(known)}")
    return chosen


def read_results(path):
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


class Runs:
    """Runs what isn't in the results yet."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.rows = read_results(chosen.results)
        chosen.work.mkdir(parents=True, exist_ok=True)

    def training_data(self, task):
        """One file, in an order of its own where it is made of several."""
        files = [self.chosen.data / name for name in TASKS[task]["train"]]
        if len(files) == 1:
            return files[0]
        rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
        random.Random(1).shuffle(rows)
        path = self.chosen.work / f"{task}.json"
        path.write_text(json.dumps(rows))
        return path

    def text(self, task):
        """Questions and answers of a task's test sets, as text that is never trained on: about 30 KB."""
        tests = [json.loads((self.chosen.data / name).read_text(encoding="utf-8")) for name in TASKS[task]["tests"]]
        each = 30000 // len(tests)
        parts = []
        for rows in tests:
            part = ""
            for row in reversed(rows):  # the first ones are asked
                part += row["instruction"] + "\n" + row["output"].strip() + "\n\n"
                if len(part) > each:
                    break
            parts.append(part)
        path = self.chosen.work / f"{task}_text.txt"
        path.write_text("".join(parts), encoding="utf-8")
        return path

    def key(self, phase, task, method, learning_rate, seed):
        steps = {"grid": max(1, self.chosen.steps // 2), "final": self.chosen.steps}[phase]
        if method == "base":
            learning_rate, steps = 1e-12, 1
        rows = self.chosen.eval_rows if phase == "final" else 0
        values = [phase, task, method, learning_rate, seed, steps, self.chosen.batch_size, rows,
                  int(self.chosen.bf16)]
        return dict(zip(KEYS, map(str, values)))

    def run(self, key):
        found = next((row for row in self.rows if all(row[name] == key[name] for name in KEYS)), None)
        if found:
            return found
        task = TASKS[key["task"]]
        name = "-".join(key[part] for part in ("phase", "task", "method", "learning_rate", "seed"))
        out = self.chosen.work / name
        words = [self.chosen.program, "--base_model", self.chosen.base_model, "--output_dir", str(out),
                 "--data_path", str(self.training_data(key["task"])), *METHODS[key["method"]]["options"],
                 "--learning_rate", key["learning_rate"], "--max_steps", key["steps"], "--seed", key["seed"],
                 "--batch_size", key["batch_size"], "--micro_batch_size", "4", "--cutoff_len", "256",
                 "--warmup_steps", str(int(key["steps"]) // 10), "--val_set_size", "64",
                 "--eval_step", str(max(1, int(key["steps"]) // 3)), "--save_step", "20", "--save_total_limit", "1",
                 "--train_on_inputs", "false", "--resume_from_checkpoint", "auto"]
        if key["bf16"] == "1":
            words.append("--bf16")
        if key["phase"] == "final":
            words += ["--loss_files", str(self.text(task["other"])), "--eval_rows", key["eval_rows"],
                      "--eval_files", ",".join(str(self.chosen.data / test) for test in task["tests"])]
        print(f"== {name}", flush=True)
        with (self.chosen.work / f"{name}.log").open("w") as log:
            status = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT).returncode
        if status != 0:
            sys.exit(f"paper.sh: exit status {status}, see {log.name}")
        lines = (line.split() for line in (out / "results.txt").read_text().splitlines())
        result = {words[1]: words[2] for words in lines if words and words[0] == "result"}
        other = f"{task['other']}_text"
        right = " ".join(f"{test}:{result[test + '.correct']}/{result[test + '.rows']}"
                         for test in TEST_NAMES if test + ".rows" in result)
        values = [machine(), result["parameters"], result.get("step_ms", ""),
                  str(int(result["peak_bytes"]) >> 20), result.get("eval_loss", ""),
                  result.get(f"{other}.loss_before", ""), result.get(f"{other}.loss", ""), right]
        row = key | dict(zip(VALUES, values))
        new = not self.chosen.results.exists()
        with self.chosen.results.open("a", newline="") as file:
            writer = csv.DictWriter(file, KEYS + VALUES, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append(row)
        shutil.rmtree(out)
        return row

    def learning_rate(self, method):
        """The best of the grid, on the first task: the same for all tasks."""
        if method == "base":
            return None
        task, seed = next(iter(TASKS)), self.chosen.seeds.split(",")[0]
        tried = [self.run(self.key("grid", task, method, rate, seed)) for rate in self.chosen.grid.split(",")]
        return min(tried, key=lambda row: float(row["eval_loss"]))["learning_rate"]

    def all(self):
        for seed in self.chosen.seeds.split(","):  # a whole table of one seed first
            for task in self.chosen.tasks.split(","):
                for method in self.chosen.methods.split(","):
                    if method == "base" and seed != self.chosen.seeds.split(",")[0]:
                        continue  # nothing in it depends on the seed
                    self.run(self.key("final", task, method, self.learning_rate(method), seed))


def spread(values, digits):
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def accuracy(rows, test):
    """Right answers of all seeds together, and the binomial error of the share."""
    counts = [tuple(map(int, part.split(":")[1].split("/"))) for row in rows for part in row["right"].split()
              if part.split(":")[0] == test]
    right, asked = (sum(column) for column in zip(*counts))
    share = right / asked
    return f"{right}/{asked} = {100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / asked):.1f} %"


def tables(rows):
    text = []
    for task, about in TASKS.items():
        final = [row for row in rows if row["phase"] == "final" and row["task"] == task]
        if not final:
            continue
        tests = [pathlib.Path(test).stem for test in about["tests"]]
        sizes = sorted({(row["steps"], row["batch_size"]) for row in final if row["method"] != "base"})
        text += [f"Trained on {task}: " + ", ".join(f"{steps} steps of {size} rows" for steps, size in sizes) + ".", ""]
        head = ["method", "parameters", "optimiser state", "learning rate", "step", "peak memory", "validation loss",
                *[TEST_NAMES[test] for test in tests], f"loss on {about['other']} text"]
        text += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for method, what in METHODS.items():
            its = [row for row in final if row["method"] == method]
            if not its:
                continue
            losses = [float(row["other_after"]) for row in its]
            cells = [what["name"]]
            if method == "base":
                cells += [""] * 5 + [spread([float(row["eval_loss"]) for row in its], 3)]
                losses = [float(row["other_before"]) for row in its]
            else:
                count = int(its[0]["parameters"])
                cells += [f"{count}", f"{8 * count / 1e6:.1f} MB", its[0]["learning_rate"],
                          f"{statistics.median(float(row['step_ms']) for row in its) / 1e3:.1f} s",
                          f"{max(int(row['peak_mib']) for row in its)} MiB",
                          spread([float(row["eval_loss"]) for row in its], 3)]
            cells += [accuracy(its, test) for test in tests] + [spread(losses, 3)]
            text.append("| " + " | ".join(cells) + " |")
        machines = sorted({row["machine"] + (", bf16" if row["bf16"] == "1" else "") for row in final})
        seeds = sorted({row["seed"] for row in final})
        text += ["", f"Seeds {', '.join(seeds)}; {'; '.join(machines)}.", ""]
    return "\n".join(text)


def main():
    chosen = arguments()
    if chosen.tables:
        print(tables(read_results(chosen.results)))
    elif chosen.check:
        wanted = tables(read_results(chosen.results)).strip()
        if not wanted:
            sys.exit(f"paper.sh: no results in {chosen.results}")
        if wanted not in (HERE / "README.md").read_text(encoding="utf-8"):
            sys.exit("paper.sh: README.md hasn't the tables of results.csv; --tables prints them")
    else:
        runs = Runs(chosen)
        runs.all()
        print(tables(runs.rows))


if __name__ == "__main__":
    main()
