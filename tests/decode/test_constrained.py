"""Texts under conditions: all meet them, and a guide that knows the family draws from the exact conditional."""

import itertools
import re

import pytest
import torch

from gentext.cli import main
from gentext.data.automaton import Expression, automaton
from gentext.data.tokenizer import Word
from gentext.decode import Ancestral, Beam, Constrained
from gentext.decode.constrained import Lookahead, fits
from gentext.models import HMM, LSTM, NGram
from gentext.results import record as records
from gentext.types import ANY, EOS, GAP, UNK, Batch, pad

WORDS = {"a": 4, "b": 5, "c": 6}
LONGEST = 5
TEXTS = [list(text) for k in range(LONGEST + 1) for text in itertools.product("abc", repeat=k)]


def accepted(machine, text) -> bool:
    return bool(fits(machine, pad([[*(WORDS[word] for word in text), EOS]]))[0])


def expression(text: str) -> Expression:
    return Expression(text, lambda word: [WORDS[word]])


@pytest.mark.parametrize(
    "text",
    [
        "a b c",
        "a (b|c)",
        "a b* c",
        "(a b)+ c?",
        "a ___* c",
        "___ ___",
        "(a|b c)* a",
        "((a|b)+ c)?",
        "a|b b|",
        "(a*)* b",
    ],
)
def test_an_expression_accepts_what_pythons_own_accepts(text):
    machine = automaton([expression(text)])
    theirs = re.compile(text.replace("___", "[abc]").replace(" ", ""))
    for words in TEXTS:
        assert accepted(machine, words) == bool(theirs.fullmatch("".join(words)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a (b", "is not closed"),
        ("a b)", "closes no group"),
        ("* a", "follows on nothing"),
        ("(+)", "follows on nothing"),
    ],
)
def test_an_expression_that_cannot_be_read_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        expression(text)


def test_what_is_forbidden_occurs_nowhere_and_all_conditions_hold_at_once():
    machine = automaton(
        [[GAP, WORDS["a"], GAP], expression("___* c")], [[GAP, WORDS["a"], WORDS["b"]], [GAP, WORDS["c"], WORDS["c"]]]
    )
    for words in TEXTS:
        text = "".join(words)
        wanted = "a" in text and text.endswith("c") and "ab" not in text and "cc" not in text
        assert accepted(machine, words) == wanted


@pytest.fixture
def hmm() -> HMM:
    torch.manual_seed(3)
    return HMM(7, states=4, grow_from=None).eval()


CONDITIONS = [
    automaton([[GAP, 4, GAP], [GAP, 6, 5, GAP]]),
    automaton([[ANY] * 3], [[GAP, 5]]),
    automaton([expression("(a|b) c* a ___*")]),
]


@pytest.mark.parametrize("machine", CONDITIONS)
@torch.no_grad()
def test_a_guide_that_is_the_family_itself_gives_the_exact_conditional(hmm, machine):
    max_len = LONGEST + 1
    led, exact = hmm.guiding(hmm, machine, max_len), hmm.fitting(machine, max_len)
    texts = [text for k in range(LONGEST + 1) for text in itertools.product([UNK, 4, 5, 6], repeat=k)]
    whole = pad([[*text, EOS] for text in texts])
    wanted = hmm.log_prob(whole).double() + torch.where(fits(machine, whole), 0.0, -torch.inf)
    wanted = (wanted - wanted.logsumexp(0)).exp()
    for family in (led, exact):
        assert torch.allclose(chain_rule(family, whole), wanted, atol=1e-6)


def ngram(**options) -> NGram:
    rng = torch.Generator().manual_seed(0)
    model = NGram(7, **options)
    rows = [[4 + int(i) for i in torch.randint(3, (int(k),), generator=rng)] for k in torch.randint(1, 6, (40,))]
    model.accumulate(pad([[*row, EOS] for row in rows]))
    model.maximize()
    return model


@pytest.mark.parametrize(
    ("options", "machine"),
    [
        ({"order": 1}, CONDITIONS[0]),
        ({"order": 2}, CONDITIONS[1]),
        ({"order": 3, "smoothing": "witten_bell"}, CONDITIONS[2]),
        ({"order": 3, "smoothing": "stupid_backoff"}, CONDITIONS[0]),
        ({"order": 4, "prune": [0, 0, 1]}, CONDITIONS[2]),
    ],
)
@torch.no_grad()
def test_an_ngram_under_conditions_is_its_exact_conditional(options, machine):
    model, longest = ngram(**options), 4
    exact = model.fitting(machine, longest + 1)
    texts = [text for k in range(longest + 1) for text in itertools.product([UNK, 4, 5, 6], repeat=k)]
    whole = pad([[*text, EOS] for text in texts])
    joint = model.log_prob(whole).double() + torch.where(fits(machine, whole), 0.0, -torch.inf)
    wanted = (joint - joint.logsumexp(0)).exp()
    assert exact.evidence == pytest.approx(float(joint.logsumexp(0)), abs=1e-5)  # log p(the condition)
    for family in (exact, model.guiding(model, machine, longest + 1)):
        assert torch.allclose(chain_rule(family, whole), wanted, atol=1e-6)
    drawn = exact.sample(1000, longest + 1, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert bool(fits(machine, drawn).all())
    likely = texts[int(wanted.argmax())]
    share = sum(row[: len(likely) + 1] == [*likely, EOS] for row in drawn.tokens.tolist()) / 1000
    assert share == pytest.approx(float(wanted.max()), abs=0.05)


@pytest.mark.parametrize("family", ["hmm", "ngram"])
@torch.no_grad()
def test_after_a_prompt_the_conditions_are_of_what_follows(hmm, family):
    model = hmm if family == "hmm" else ngram(order=3)
    machine, max_len = CONDITIONS[0], 5
    at = model.fitting(machine, max_len).prime(torch.tensor([[4, 6], [5, 0]]))
    texts = [text for k in range(max_len) for text in itertools.product([UNK, 4, 5, 6], repeat=k)]
    for row, prompt in enumerate(([4, 6], [5])):
        batch = pad([[*text, EOS] for text in texts])
        batch = Batch(batch.tokens, batch.mask, torch.tensor([prompt] * len(batch)))
        p = model.log_prob(batch).double().exp() * fits(machine, batch)
        first = torch.zeros(7).double().index_add_(0, batch.tokens[:, 0], p)
        assert torch.allclose(at.logits[row].double().softmax(0), first / first.sum(), atol=1e-6)


def test_an_ngram_finds_what_is_rarer_than_a_float_can_say():
    model = ngram(order=2)
    words = [UNK] * 300  # of which the training text has none
    exact = model.fitting(automaton([words]), 302)
    whole = pad([[*words, EOS]])
    assert exact.evidence < -745  # exp(-745) is 0
    assert exact.evidence == pytest.approx(float(model.log_prob(whole)[0]), rel=1e-4)
    assert exact.log_prob(whole).tolist() == pytest.approx([0.0], abs=1e-3)


def test_an_ngram_with_a_cache_is_held_to_no_condition_exactly():
    with pytest.raises(ValueError, match="give how=lookahead or how=reject"):
        ngram(order=2, cache=0.1).fitting(CONDITIONS[0], 6)


def chain_rule(family, batch) -> torch.Tensor:
    """p(text) from the steps of a state machine."""
    at, total = family.start(len(batch)), torch.zeros(len(batch), dtype=torch.double)
    for i, tokens in enumerate(batch.tokens.unbind(1)):
        total += torch.where(batch.mask[:, i], at.logits.double().log_softmax(-1).gather(1, tokens[:, None])[:, 0], 0.0)
        at = family.step(at.state, tokens)
    return total.exp().nan_to_num()


@pytest.mark.parametrize("machine", CONDITIONS)
@torch.no_grad()
def test_looking_ahead_leaves_exactly_the_texts_that_fit(machine):
    torch.manual_seed(1)
    family = LSTM(7, layers=1, width=8).eval()
    led = Lookahead(family, machine, LONGEST + 1)
    batch = pad([[*text, EOS] for k in range(LONGEST + 1) for text in itertools.product([UNK, 4, 5, 6], repeat=k)])
    p = chain_rule(led, batch)
    assert torch.equal(p > 0, fits(machine, batch))
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)


LETTERS = Word().fit(["a a a b b c"])  # ids 4, 5, 6


SETTINGS = [
    {"contains": ["a", "c b"]},
    {"forbids": ["a"], "length": 4},
    {"expression": "a (b|c)+"},
    {"infill": "b ___* c", "forbids": ["a a"]},
]


@pytest.mark.parametrize("how", ["lookahead", "reject"])
@pytest.mark.parametrize("given", SETTINGS)
def test_every_draw_meets_the_conditions(given, how):
    torch.manual_seed(1)
    family, rng = LSTM(7, layers=1, width=8).eval(), torch.Generator().manual_seed(0)
    decoder = Constrained(how=how, **given).reading(LETTERS)
    batch = decoder(family, 40, 8, rng=rng)
    assert len(batch) == 40
    assert bool(fits(decoder.machine, batch).all())
    assert decoder.count.drawn == 40 if how == "lookahead" else decoder.count.drawn > 40


def test_a_beam_under_conditions_finds_the_likeliest_text_that_is_led_there():
    torch.manual_seed(1)
    family = LSTM(7, layers=1, width=8).eval()
    decoder = Constrained(contains=["a"], base=Beam(width=64, length_penalty=0.0)).reading(LETTERS)
    best = decoder(family, 1, 4, rng=torch.Generator().manual_seed(0))
    batch = pad([[*text, EOS] for k in range(4) for text in itertools.product([UNK, 4, 5, 6], repeat=k) if 4 in text])
    with torch.no_grad():
        led = chain_rule(Lookahead(family, decoder.machine, 4), batch)
    likeliest = batch.tokens[led.argmax()].tolist()
    assert [t for t in best.tokens[0].tolist() if t > 2] == [t for t in likeliest if t > 2]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "contains is empty"),
        ({"contains": "dog"}, r"give a list: contains=\['dog'\]"),
        ({"contains": ["a"], "how": "guide"}, "how=guide belong together"),
    ],
)
def test_wrong_conditions_are_refused(given, why):
    with pytest.raises(ValueError, match=why):
        Constrained(**given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"contains": ["a"], "forbids": ["a"]}, "contradict"),
        ({"length": 30}, "need a text of 30 tokens"),
        ({"contains": ["zebra"]}, "zebra"),
    ],
)
def test_conditions_that_no_text_meets_are_refused_with_the_reason(given, why):
    family = LSTM(7, layers=1, width=8).eval()
    with pytest.raises(ValueError, match=why):
        Constrained(**given).reading(LETTERS)(family, 2, 8, rng=torch.Generator().manual_seed(0))


def test_how_is_exact_where_a_family_can_and_refused_where_it_cannot():
    texts = ngram(order=2)
    decoder = Constrained(contains=["a", "b"]).reading(LETTERS)
    exact = decoder(texts, 50, 8, rng=torch.Generator().manual_seed(0)).tokens
    named = Constrained(contains=["a", "b"], how="exact").reading(LETTERS)
    assert torch.equal(exact, named(texts, 50, 8, rng=torch.Generator().manual_seed(0)).tokens)
    led = Constrained(contains=["a", "b"], how="lookahead").reading(LETTERS)
    assert not torch.equal(exact, led(texts, 50, 8, rng=torch.Generator().manual_seed(0)).tokens)
    with pytest.raises(ValueError, match="how is exact, and LSTM cannot say"):
        named(LSTM(7, layers=1, width=8).eval(), 2, 8, rng=torch.Generator().manual_seed(0))


def test_draws_that_hardly_ever_meet_a_condition_end_with_the_rate():
    decoder = Constrained(expression="a a a a a a a", how="reject", most=2).reading(LETTERS)
    torch.manual_seed(1)
    with pytest.raises(ValueError, match=r"how=reject kept 0 of \d+ draws \(0\.000%\)"):
        decoder(LSTM(7, layers=1, width=8).eval(), 5, 9, rng=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_a_command_with_a_guide_made_of_the_familys_own_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["data.train=300", "data.valid=20", "data.test=20", "eval.samples=20"]
    assert main(["run", "family=ngram", "family.order=3", *small, "out=a"]) == 0
    (run,) = (tmp_path / "a" / "captions").iterdir()
    hmm = ["family=hmm", "family.states=4", "family.grow_from=null", "train.iterations=2"]
    assert main(["run", *hmm, "data=truth", f"data.truth.run={run}", *small, "out=b"]) == 0
    (guide,) = (path.parent for path in (tmp_path / "b").rglob("model.safetensors"))
    capsys.readouterr()
    asked = ["sample", str(run), "-n", "6", "--contains", "dog", "--forbids", "the"]
    for led in ([], ["--guide", str(guide)]):
        assert main([*asked, *led]) == 0
        texts = capsys.readouterr().out.splitlines()
        assert len(texts) == 6
        assert all("dog" in text.split() and "the" not in text.split() for text in texts)
    assert main([*asked, "--guide", str(run)]) == 0  # an n-gram guides too, itself by its exact conditional
    assert all("dog" in text.split() for text in capsys.readouterr().out.splitlines())
    assert main(["run", "family=human", *small, "out=c"]) == 0
    (human,) = (tmp_path / "c" / "captions").iterdir()
    capsys.readouterr()
    assert main([*asked, "--guide", str(human)]) == 2
    assert "cannot guide; train family=hmm or ngram" in capsys.readouterr().err
    row = ["decode=constrained", "decode.constrained.contains=[dog]", "decode.constrained.how=reject"]
    assert main(["run", "family=ngram", "family.order=3", *small, "out=a", *row]) == 0
    (record,) = (path for path in run.glob("record.*.json") if "constrained" in path.name)
    assert records.read(record).cost["draws_per_text"] > 1
