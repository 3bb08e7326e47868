"""The run-time type check of the tests: jaxtyping's shapes, and the rest by beartype; an int may stand for a float.

It covers the modules that name shapes, in the tests of the rooms where arrays are computed: it takes a third of the
time of what it watches, and files, tables and commands are checked for their types before they run (`make check`).
"""

from pathlib import Path

import jaxtyping
import pytest
from beartype import BeartypeConf, beartype

PACKAGE = Path(__file__).parents[1] / "gentext"
ROOMS = ("adversarial", "decode", "evaluation", "inspection", "metrics", "models", "train", "truth")
FILES = ("test_contract.py", "test_latent_space.py", "test_losses.py", "test_panels.py", "test_schedules.py")

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def modules() -> list[str]:
    """The names of gentext's modules that name shapes."""
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if "jaxtyping" in path.read_text(encoding="utf-8")]
    dotted = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in found]
    return [name.removesuffix(".__init__") for name in dotted]


def pytest_load_initial_conftests() -> None:
    """Wraps the modules as they are imported, hence before any is."""
    jaxtyping.install_import_hook(modules(), "typecheck.checked")


@pytest.fixture(autouse=True)
def _checked_where_arrays_are(request):
    parts = request.path.relative_to(PACKAGE.parent).parts
    jaxtyping.config.update("jaxtyping_disable", parts[-1] not in FILES and parts[1] not in ROOMS)
