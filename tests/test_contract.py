"""The contract over every built-in family, and over the example's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gentext.contract import *  # noqa: F403 - its tests are this file's

MINE = Path(__file__).parents[1] / "examples" / "my_family"


def test_a_family_outside_the_package_is_judged(tmp_path):
    words = ["--pyargs", "gentext.contract", "--family=my_gru", f"--config-dir={MINE}"]
    judged = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert judged.returncode == 0, judged.stdout
    assert "passed" in judged.stdout
    assert "my_gru" not in judged.stdout
