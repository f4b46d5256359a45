"""The child process that converts a published set: `python -P -m bohb_nas.datasets NAME ROOT FOLDER`."""

import importlib
import sys
from pathlib import Path

from bohb_nas.datasets._cache import save

if __name__ == "__main__":
    name, root, folder = sys.argv[1:]
    save(Path(folder), importlib.import_module(f"bohb_nas.datasets.{name}").convert(Path(root)))
