"""Rebuild the bundle: `python -m snql.organism.factory --out DIR [--seed N] [--scale full|tiny]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers.utils import logging

from snql.organism.factory.build import SCALES, build


def main() -> None:
    """Parse the options, build with progress on stderr, print the quality figures on stdout."""
    parser = argparse.ArgumentParser(prog="python -m snql.organism.factory", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the bundle to")
    parser.add_argument("--seed", type=int, default=0, help="seed of all data and weights (default 0)")
    parser.add_argument("--scale", choices=sorted(SCALES), default="full", help="tiny is for tests")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    manifest = build(options.out, options.seed, options.scale, lambda text: print(text, file=sys.stderr))
    print(json.dumps(manifest["quality"], indent=1))
    print(f"{manifest['bytes'] / 1e6:.1f} MB in {manifest['build_seconds']} s", file=sys.stderr)


if __name__ == "__main__":
    main()
