"""The run-time type check of the tests: shapes by jaxtyping, the rest by beartype, where a float may be given as an int."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
