"""`eval "$(gentext run -sc install=bash)"` completes keys and options in a real bash."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

SCRIPT = """
eval "$(gentext run -sc install=bash)"
for typed in "$@"; do
    read -ra COMP_WORDS <<< "$typed"
    COMP_LINE=$typed COMP_POINT=${#typed} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
done
complete -p gentext > /dev/null && ! complete -p run 2> /dev/null
"""
TYPED = {
    "gentext re": {"report"},
    "gentext run fam": {"family="},
    "gentext run family=lst": {"family=lstm", "family=lstm_awd"},
    "gentext run seed=1 family=lstm family.wid": {"family.width="},
}


def test_bash_completes(tmp_path):
    program = tmp_path / "gentext"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gentext "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", SCRIPT, "bash", *TYPED], env=env, capture_output=True, text=True, check=True)
    for line, (typed, some) in zip(done.stdout.splitlines(), TYPED.items(), strict=True):
        assert some <= set(line.split()), (typed, done)
