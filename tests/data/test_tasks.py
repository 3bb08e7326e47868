"""The tasks' corpora: the examples, tables of one's own under any names, and what is refused."""

import json
from collections import defaultdict

import pytest
import torch

import gentext
from gentext import config
from gentext.data import examples
from gentext.data.corpus import Corpus
from gentext.data.prompts import beginning
from gentext.data.tasks import TaskText
from gentext.data.tokenizer import Char
from gentext.decode import Ancestral
from gentext.models import EncoderDecoder, Seq2Seq, Transformer

TASKS = sorted(examples.EXAMPLES)


def source(task, *options):
    return config.build(config.compose([f"data={task}", *options]).data)


def pairs(task, *options):
    found = defaultdict(list)
    for split, row in source(task, *options).rows():
        found[split].append((row.prompt, row.text))
    return found


def table(path, records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return f"data.path={path}"


@pytest.mark.parametrize("task", TASKS)
def test_families_learn_from_and_answer_every_example_of_which_no_source_is_in_two_splits(task, tmp_path):
    corpus = Corpus.open(source(task), Char(), cache=tmp_path)
    assert corpus.track == task
    assert corpus.size("train") >= 1_500
    prompts = [set(corpus.prompts(split)) for split in ("train", "valid", "test")]
    assert all(len(each) >= 15 and "" not in each for each in prompts)
    assert len(set.union(*prompts)) == sum(map(len, prompts))
    batch = next(corpus.batches("test", 2))
    for family in (Seq2Seq, EncoderDecoder, Transformer):
        heads = {} if family is Seq2Seq else {"heads": 2, "context": corpus.context}
        made = family(corpus.tokenizer.vocab_size, layers=1, width=8, **heads)
        made(batch).log_prob.sum().backward()
        assert all(parameter.grad is not None for parameter in made.parameters())
        drawn = made.sample(2, 3, decoder=Ancestral(), rng=torch.Generator().manual_seed(0), prompt=batch.prompt)
        assert len(drawn) == 2


def test_every_program_of_the_example_does_what_its_description_says():
    for record in examples.records("code"):
        made = {}
        exec(record["code"], made)
        values = list(range(-30, 31))
        said = record["description"]
        if said.startswith("return how many even"):
            assert made["solve"](values) == sum(value % 2 == 0 for value in values)
        if said.startswith("return the sum of the squares of the odd"):
            assert made["solve"](values) == sum(value**2 for value in values if value % 2)
        made["solve"](values)


def test_questions_are_asked_of_their_context_and_one_context_stays_in_one_split():
    (prompt, answer), *_ = pairs("question_answering")["train"]
    context, question = prompt.split(" | ")
    assert question.endswith("?")
    assert answer in context
    contexts = [{prompt.split(" | ")[0] for prompt, _ in rows} for rows in pairs("question_answering").values()]
    assert not contexts[0] & contexts[2]


def test_each_turn_answers_those_before_it(tmp_path):
    path = table(tmp_path / "a.jsonl", [{"said": ["Hi.", "Hello.", "Bye."]}])
    one = ["data.source=said", "data.valid=0", "data.test=0"]
    assert pairs("dialogue", path, *one)["train"] == [("Hi.", "Hello."), ("Hi. | Hello.", "Bye.")]
    (tmp_path / "a.csv").write_text("said,n\nHi. | Hello. | Bye.,1\n")
    assert pairs("dialogue", f"data.path={tmp_path / 'a.csv'}", *one)["train"][1] == ("Hi. | Hello.", "Bye.")
    path = table(tmp_path / "b.jsonl", [{"history": ["Hi.", "Hello."], "reply": "Bye."}])
    columns = ["data.source=history", "data.target=reply", *one[1:]]
    assert pairs("dialogue", path, *columns)["train"] == [("Hi. | Hello.", "Bye.")]


def test_a_list_of_answers_is_a_row_for_each_and_columns_are_joined(tmp_path):
    path = table(tmp_path / "a.json", [{"ctx": "It is red.", "q": "Colour?", "answers": ["red", "it is red"]}])
    columns = ["data.source=[ctx,q]", "data.target=answers", "data.join=' ## '", "data.valid=0", "data.test=0"]
    found = pairs("question_answering", path, *columns)["train"]
    assert found == [("It is red. ## Colour?", "red"), ("It is red. ## Colour?", "it is red")]


@pytest.mark.parametrize("data", ["text", "labelled"])
def test_the_readers_options_are_those_of_any_text(data, tmp_path):
    path = table(tmp_path / "a.jsonl", [{"a": "x y", "b": "z", "c": "w"}])
    found = pairs(data, path, "data.source=[a,b]", "data.target=c", "data.valid=0", "data.test=0")
    assert found["train"] == [("x y | z", "w")]


def test_a_file_is_cut_into_what_is_given_and_what_is_to_be_written(tmp_path):
    (tmp_path / "a.txt").write_text("a man rides a horse\nword\none two\n")
    whole = [f"data.path={tmp_path / 'a.txt'}", "data.valid=0", "data.test=0"]
    assert pairs("completion", *whole)["train"] == [("a man", "rides a horse"), ("one", "two")]
    assert pairs("completion", *whole, "data.prompt=3")["train"] == [("a man rides", "a horse")]
    assert pairs("completion", *whole, "data.words=char")["train"][2] == ("one", "two")
    (tmp_path / "a.txt").write_text("秦 川 雄 帝 宅 ， 函 谷 壮 皇 居 。\n")
    assert pairs("poetry", *whole)["train"] == [("秦川雄帝宅，", "函谷壮皇居。")]
    path = table(tmp_path / "b.jsonl", [{"text": "Roses are red,\nviolets blue.\nSugar."}])
    english = ["data.spaces=true", "data.words=treebank", *whole[1:]]
    assert pairs("poetry", path, *english)["train"] == [("Roses are red,", "violets blue.\nSugar.")]


def test_code_keeps_its_lines(tmp_path):
    path = table(tmp_path / "a.jsonl", [{"description": "print", "code": "def f():\r\n    return 1  \n"}])
    assert pairs("code", path, "data.valid=0", "data.test=0")["train"] == [("print", "def f():\n    return 1")]


def test_of_a_clause_nothing_is_left_out():
    for text in ("秦川雄帝宅，函谷壮皇居。", "one, two", "a / b", "a\n\nb"):
        first, rest = beginning(text, "line")
        assert first
        assert rest
        assert {*first, *rest} >= {*text} - {*" /\n"}
    assert beginning("no end", "line") is None
    assert beginning("costs 1,000 or so", "line") is None or beginning("costs 1,000 or so", "line")[0] == "costs 1,"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["data=summarisation", "data.source=body"],
            r"example .* has the columns document, summary.* none called 'body'",
        ),
        (["data=summarisation", "data.path=a.jsonl"], r"no column 'summary'; it has 'text', 'n'.*data\.target"),
        (["data=summarisation", "data.path=empty.jsonl"], "holds no text"),
        (["data=summarisation", "data.path=broken.json"], "begins as a list of JSON objects and cannot be read"),
        (["data=summarisation", "data.path=nowhere"], "nowhere does not exist"),
        (["data=summarisation", "data.source=null"], r"name the column of the sources by data\.source"),
        (["data=completion", "data.prompt=1.5"], r"data\.prompt is 1\.5; it must be a share"),
        (["data=completion", "data.source=text"], "a source is the beginning of its text, or a column"),
        (["data=dialogue", "data.source=[a,b]"], r"data\.target is null"),
        (["data=dialogue", "data.path=a.jsonl", "data.source=text"], r"data\.target is null.* no row .* has two turns"),
        (["data=translation", "data.path=a.txt"], "plain text, which has no columns"),
        (["data=translation", "data.task=haiku"], r"task is 'haiku'; it must be one of"),
    ],
)
def test_what_is_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"text": "a", "n": "b"}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "broken.json").write_text('[{"document": "a", "summary": "b"}\n')
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(ValueError, match=message):
        list(config.build(config.compose(options).data).rows())


def test_a_task_of_ones_own_file_is_called_by_it(tmp_path):
    path = tmp_path / "news.jsonl"
    table(path, [{"document": f"d {i}", "summary": f"s {i}"} for i in range(20)])
    made = TaskText(str(path), task="summarisation", source="document", target="summary")
    assert (made.name, made.named, made.origin) == ("news", False, "the user's own")


def test_what_is_shown_of_pairs_has_their_sources(tmp_path):
    path = table(tmp_path / "a.jsonl", [{"a": f"x {i}", "b": f"y {i}"} for i in range(10)])
    shown = gentext.describe_data("translation", path, "data.source=a", "data.target=b", "data.cut=tail")
    facts = dict(shown.table.rows)
    assert facts["train begins"].splitlines()[0] == "x 0 -> y 0"
    assert facts["task"] == "translation"
