"""`python tests/attacks NAME [--count N] [--first N]`: what must hold whatever is killed, given, broken or planted."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
NAMES = {
    "kills": 200,
    "disks": 80,
    "values": 500,
    "corruptions": 300,
    "gadgets": 12,
    "reports": 200,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--count", type=int, help=f"cases: {NAMES}")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    args = parser.parse_args()
    module = import_module(f"attacks.{args.name}")
    tally = module.run(module.cases(args.count or NAMES[args.name], args.first))
    print(tally)
    sys.exit(bool(tally.faults))
