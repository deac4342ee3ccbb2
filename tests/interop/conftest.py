"""What all tests share. run.sh sets the environment; the counts go to the file that it prints its last line from."""

import os

# bitsandbytes wraps its PyTorch code in torch.compile, which would build C++ for every shape.
os.environ["TORCHDYNAMO_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
import transformers

from driver import Driver

torch.set_num_threads(1)  # there is a process for each core
transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def sbora(tmp_path):
    """Calls the C++ driver, with a folder of this test's for files."""
    return Driver(os.environ["SBORA_INTEROP"], tmp_path)


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore::FutureWarning:transformers")


def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):  # one of several processes: the first one has all results
        return
    stats = config.pluginmanager.get_plugin("terminalreporter").stats
    count = lambda *outcomes: sum(len(stats.get(outcome, [])) for outcome in outcomes)
    if path := os.environ.get("SBORA_INTEROP_COUNTS"):
        with open(path, "w") as file:
            print(f"{count('passed')} passed, {count('failed', 'error')} failed", file=file)
