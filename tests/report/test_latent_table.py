"""VAEs beside the language model that their z has to beat."""

from gentext.report import latent_table
from gentext.results import board
from gentext.results.record import Record
from gentext.types import Value


def made(family, nll, *, kl=None, decode="ancestral"):
    exactness = "exact" if kl is None else "upper"
    values = {"nll_test": Value(nll, "nll_test|line|v:1", False, 9, exactness=exactness)}
    if kl is not None:
        values["posterior_kl"] = Value(kl, "posterior_kl|v:1", None, 9)
        values["active_units"] = Value(32.0, "active_units|v:1", None, 9)
    return Record("captions", "unconditional", family, "", decode, 0, values, {}, "exact" if kl is None else "bound")


def test_the_language_model_is_the_zero_line_of_the_table():
    records = [made("vae", 30.5, kl=4.2), made("lstm", 30.2), made("vae", 30.5, kl=4.2, decode="temperature=0.5")]
    (ranked,) = board.rank(records, columns=["nll_test"])
    (table,) = latent_table.tables(ranked)
    assert list(table.columns) == ["family", "seeds", "NLL a text ↓", "KL of the posterior", "active units"]
    assert [[row[0], *row[2:4]] for row in table.rows] == [["lstm", "30.20", "-"], ["vae", "≤30.50", "4.200"]]


def test_without_a_latent_space_there_is_no_table():
    (ranked,) = board.rank([made("lstm", 30.2)], columns=["nll_test"])
    assert latent_table.tables(ranked) == []
