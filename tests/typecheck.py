"""The run-time type check of the tests: jaxtyping's shapes, and the rest by beartype; an int may stand for a float."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
