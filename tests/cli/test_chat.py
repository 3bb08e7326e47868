"""A chat: lines in, answers out as they are drawn, from a pipe or a terminal."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import gentext
from gentext.cli import main
from gentext.data.tokenizer import BPE, Char, Word
from gentext.decode.streamed import TextStream
from gentext.models import LSTM, Seq2Seq, Transformer
from gentext.trained import TrainedModel, _until

TEXTS = ['a "man" rides a horse, and it\'s wet.', "don't go 猫 now", "hello | to you | too"] * 3


def model(family=LSTM, tokenizer=None, **data) -> TrainedModel:
    torch.manual_seed(0)
    fitted = (tokenizer or Word("treebank")).fit(TEXTS)
    heads = {"heads": 2, "context": 24} if family is Transformer else {}
    made = family(fitted.vocab_size, width=16, layers=1, **heads).eval()
    return TrainedModel(made, fitted, OmegaConf.create({"data": data, "max_len": 12}), Path())


@pytest.mark.parametrize("tokenizer", [Word("treebank"), Char(), BPE(vocab_size=300)])
@pytest.mark.parametrize("decoder", ["ancestral", "beam"])
@pytest.mark.parametrize("prompt", [None, "a man"])
def test_the_pieces_are_the_text_that_is_sampled(tokenizer, decoder, prompt):
    made = model(tokenizer=tokenizer)
    for seed in range(3):
        pieces: list[str] = []
        how = {"prompt": prompt, "decoder": decoder, "seed": seed, "stop": ["t"]}
        (text,) = made.sample(1, stream=pieces.append, **how)
        assert made.sample(1, **how) == [text]
        assert "".join(pieces).rpartition("\n")[2] == text
    assert not {"step", "start", "prime"} & vars(made.family).keys()


def test_a_piece_is_shown_before_the_next_token_is_drawn():
    made, seen = model(tokenizer=Char()), []
    step = made.family.step
    made.family.step = lambda state, tokens: (seen.append(len(tokens)), step(state, tokens))[1]
    pieces: list[tuple[int, str]] = []
    (text,) = made.sample(1, stream=lambda piece: pieces.append((len(seen), piece)), seed=1)
    assert len(pieces) == len(text) > 3
    first = pieces[0][0]
    assert [drawn for drawn, _ in pieces][:3] == [first, first + 1, first + 2]
    assert first < len(text)
    with pytest.raises(ValueError, match="ask for 1, to stream it"):
        made.sample(2, stream=print)


def talk(made, monkeypatch, lines, *words):
    """What comes of these lines, or of what they raise; `words` of the command."""
    given = iter(lines)

    def read(_prompt):
        line = next(given, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(builtins, "input", read)
    monkeypatch.setattr(gentext, "load", lambda *_, **__: made)
    return main(["chat", "a-run", *words])


def test_a_run_that_was_judged_greedily_answers_greedily(monkeypatch, capsys):
    made = model()
    made.config.decode = {"greedy": {"top_k": 1}}
    assert talk(made, monkeypatch, ["a man"] * 2) == 0
    assert capsys.readouterr().out.splitlines() == made.sample(prompt="a man", decoder="greedy") * 2


def asked(made, monkeypatch):
    """The prompts that the model is given, each answered by their number."""
    prompts = []

    def sample(self, n, *, prompt, stream, **how):
        prompts.append((prompt, how["seed"]))
        if prompt.endswith("stop"):
            raise KeyboardInterrupt
        if prompt.endswith("bad"):
            raise ValueError("no such prompt")
        stream(f"answer {len(prompts)}")
        return [f"answer {len(prompts)}"]

    monkeypatch.setattr(TrainedModel, "sample", sample)
    return prompts


def test_of_a_dialogue_the_turns_are_kept_until_a_blank_line(monkeypatch, capsys):
    made = model(Seq2Seq, task="dialogue", join=" | ", source="turns")
    prompts = asked(made, monkeypatch)
    assert talk(made, monkeypatch, ["Hi", "And?", "stop", "bad", "So?", "", "Hi"]) == 0
    assert [prompt for prompt, _ in prompts] == [
        "Hi",
        "Hi | answer 1 | And?",
        "Hi | answer 1 | And? | answer 2 | stop",
        "Hi | answer 1 | And? | answer 2 | bad",
        "Hi | answer 1 | And? | answer 2 | So?",
        "Hi",
    ]
    assert len({seed for _, seed in prompts}) == 6
    said = capsys.readouterr()
    assert said.out == "answer 1\nanswer 2\n\nanswer 5\nanswer 6\n"
    assert said.err == "gentext: no such prompt\n"


def test_elsewhere_each_line_is_asked_by_itself(monkeypatch, capsys):
    made = model(Seq2Seq, source="de")
    prompts = asked(made, monkeypatch)
    assert talk(made, monkeypatch, ["eins", "zwei", KeyboardInterrupt()]) == 0
    assert [prompt for prompt, _ in prompts] == ["eins", "zwei"]
    assert capsys.readouterr().out == "answer 1\nanswer 2\n"


def test_turns_that_a_model_cannot_read_any_more_are_forgotten(monkeypatch):
    made = model(Transformer, task="dialogue", join=" | ", source="turns")
    made.family.limit = 9
    prompts = asked(made, monkeypatch)
    assert talk(made, monkeypatch, ["hello", "to you", "too"]) == 0
    assert [prompt for prompt, _ in prompts] == ["hello", "hello | answer 1 | to you", "to you | answer 2 | too"]


def test_a_stream_shows_no_space_before_the_string_at_which_it_stops():
    pieces, stop = [], ["."]
    tokenizer = Char().fit(["a man sits ."])
    stream = TextStream(tokenizer, pieces.append, until=lambda text: _until(text, stop, 0), stop=stop)
    for token in tokenizer.encode(["a man sits . a"])[0]:
        stream.add(token)
    stream.end(_until("a man sits . a", stop, 0))
    assert "".join(pieces) == "a man sits"


def test_a_chat_of_a_model_writes_its_own_answers(monkeypatch, capsys):
    made = model()
    assert talk(made, monkeypatch, ["a man", "hello"], "--decode", "greedy", "--stop", "wet") == 0
    expected = [made.sample(prompt=line, decoder="greedy", stop=["wet"])[0] for line in ("a man", "hello")]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--decode", "nosuch"], "no decoder is called 'nosuch'"), (["temperature=-1"], "temperature is -1")],
)
def test_a_wrong_decoder_is_refused_before_a_line_is_read(monkeypatch, capsys, words, message):
    assert talk(model(), monkeypatch, [AssertionError("a line was read")], *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"source": ["context", "question"], "join": " | "}, "Write context | question"),
        ({"source": "document"}, "Write a document"),
        ({"source": "turns", "task": "dialogue", "join": " | "}, "Say something"),
        ({"source": None}, "Write the beginning of a text"),
    ],
)
def test_a_terminal_is_told_what_is_expected(data, expected):
    assert model(Seq2Seq, **data).expects == expected


def test_what_an_interactive_sample_has_no_use_for_is_refused(capsys):
    assert main(["sample", "a-run", "--interactive", "-n", "2", "--reconstruct", "a"]) == 2
    assert "--interactive has no use for -n, --reconstruct; leave it out" in capsys.readouterr().err
