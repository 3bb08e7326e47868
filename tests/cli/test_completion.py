"""`eval "$(gentext run -sc install=bash)"` completes keys and options in a real bash."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

SCRIPT = """
eval "$(gentext run -sc install=bash)"
read -ra COMP_WORDS <<< "$1"
COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
hydra_bash_completion
printf '%s\\n' "${COMPREPLY[@]}"
complete -p gentext > /dev/null && ! complete -p run 2> /dev/null
"""


@pytest.mark.parametrize(
    ("typed", "some"),
    [
        ("gentext re", {"report"}),
        ("gentext run fam", {"family="}),
        ("gentext run family=lst", {"family=lstm", "family=lstm_awd"}),
        ("gentext run seed=1 family=lstm family.wid", {"family.width="}),
    ],
)
def test_bash_completes(typed, some, tmp_path):
    program = tmp_path / "gentext"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gentext "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", SCRIPT, "bash", typed], env=env, capture_output=True, text=True, check=True)
    assert some <= set(done.stdout.split()), done
