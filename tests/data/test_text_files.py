"""Sources: what is read is what the files hold, in the splits that are said, and nothing else passes."""

import gzip
import hashlib
import http.server
import json
import os
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gentext.data import download
from gentext.data.corpus import Corpus
from gentext.data.hub import HubText
from gentext.data.source import Source, describe
from gentext.data.splits import TextRow
from gentext.data.text_files import LocalText, PublishedCorpus
from gentext.data.tokenizer import BPE, Char, Word
from gentext.truth.generated import GeneratedCorpus
from gentext.truth.oracle import Oracle
from gentext.types import EOS, UNK

LINES = [f"the {animal} sees {n} dogs" for animal in ("cat", "bird") for n in range(20)]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENTEXT_DATA", raising=False)


@pytest.fixture
def held(tmp_path: Path, monkeypatch) -> Path:
    """A folder as GENTEXT_DATA names it."""
    folder = tmp_path / "held"
    folder.mkdir()
    monkeypatch.setenv("GENTEXT_DATA", str(tmp_path))
    return folder


def files(contents: dict[str, str], splits: dict[str, str | list[str]], **options) -> PublishedCorpus:
    known = {name: {"sha256": digest(text)} for name, text in contents.items()}
    return PublishedCorpus(
        "held", "held", "nowhere", "none", known, splits, options.pop("words", "whitespace"), **options
    )


def texts(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for split, row in source.rows():
        found[split].append(row.text)
    return found


def test_a_named_corpus_is_verified_and_split(held):
    contents = {"a.txt": "\n".join(LINES), "b.txt": "One\nTwo"}
    for name, text in contents.items():
        (held / name).write_text(text, encoding="utf-8")
    source = files(contents, {"train": "a.txt", "test": "b.txt"}, cut="tail", valid=5, lowercase=True)
    assert texts(source) == {"train": LINES[:-5], "valid": LINES[-5:], "test": ["one", "two"]}
    assert isinstance(source, Source)
    assert describe(source)["files"]["b.txt"]["sha256"] == digest("One\nTwo")
    (held / "b.txt").write_text("One\nTwo\nThree", encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.txt has sha256 .* is stated"):
        source.identity()


def test_several_files_are_one_text_to_cut(held):
    contents = {"a.txt": "one\ntwo\nthree", "b.txt": "four\nfive"}
    for name, text in contents.items():
        (held / name).write_text(text, encoding="utf-8")
    source = files(contents, {"all": ["a.txt", "b.txt"]}, cut="tail", valid=1, test=2)
    assert texts(source) == {"train": ["one", "two"], "valid": ["three"], "test": ["four", "five"]}
    back = files(contents, {"all": ["b.txt", "a.txt"]}, cut="tail", valid=1, test=2)
    assert texts(back)["test"] == ["two", "three"]
    assert back.identity() != source.identity()
    with pytest.raises(ValueError, match=r"has no file c\.txt; it has a\.txt, b\.txt"):
        files(contents, {"all": ["a.txt", "c.txt"]}).fetch()


def test_pairs_side_by_side_go_in_the_direction_asked(held):
    contents = {"train.de": "eins\nzwei", "train.en": "one\ntwo", "test.de": "drei", "test.en": "three"}
    for name, text in contents.items():
        (held / name).write_text(text, encoding="utf-8")
    splits = {"train": "train.{column}", "valid": "test.{column}", "test": "test.{column}"}
    source = files(contents, splits, source="de", target="en")
    corpus = Corpus.open(source, Word())
    assert (list(corpus.lines("train")), list(corpus.prompts("train"))) == (["one", "two"], ["eins", "zwei"])
    (batch,) = corpus.batches("train", 2)
    assert corpus.tokenizer.decode(batch.prompt.tolist()) == ["eins", "zwei"]
    assert (batch.prompt[:, -1] == EOS).all()
    assert UNK not in batch.prompt  # one vocabulary, fitted on both sides
    assert corpus.batch(["one"], ["zwei"]).prompt.tolist() == batch.prompt[1:].tolist()
    back = files(contents, splits, source="en", target="de")
    assert texts(back)["test"] == ["drei"]
    with pytest.raises(ValueError, match=r"has no file train\.fr"):
        files(contents, splits, source="fr", target="de").fetch()


class Shop(http.server.BaseHTTPRequestHandler):
    """Serves one text, by ranges where asked, and breaks off where told to."""

    content, breaks_at, resumes, asked = b"", None, True, []

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        Shop.asked.append(start)
        if start >= len(Shop.content):
            self.send_error(416)
            return
        start = start if Shop.resumes else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(Shop.content) - start))
        self.end_headers()
        self.wfile.write(Shop.content[start : Shop.breaks_at])

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Shop.content, Shop.breaks_at, Shop.resumes, Shop.asked = "\n".join(LINES).encode(), None, True, []
    yield f"http://127.0.0.1:{server.server_port}/a.txt"
    server.shutdown()
    server.server_close()
    thread.join()


def remote(url: str) -> download.Remote:
    return download.Remote(hashlib.sha256(Shop.content).hexdigest(), url)


def test_a_download_is_kept(url, tmp_path):
    path = download.fetch("held", "a.txt", remote(url))
    assert path == tmp_path / "cache" / "files" / "held" / "a.txt"
    assert path.read_bytes() == Shop.content
    download.fetch("held", "a.txt", remote(url))
    assert Shop.asked == [0]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(url, resumes):
    Shop.breaks_at = 100
    with pytest.raises(OSError, match="Try again"):
        download.fetch("held", "a.txt", remote(url))
    Shop.breaks_at, Shop.resumes = None, resumes
    assert download.fetch("held", "a.txt", remote(url)).read_bytes() == Shop.content
    assert Shop.asked == [0, 100]


def test_a_whole_part_is_begun_again(url, tmp_path):
    part = tmp_path / "cache" / "files" / "held" / "a.txt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * len(Shop.content))
    assert download.fetch("held", "a.txt", remote(url)).read_bytes() == Shop.content


def test_another_text_than_stated_is_thrown_away(url, tmp_path):
    with pytest.raises(ValueError, match="what is published there has changed"):
        download.fetch("held", "a.txt", download.Remote("0" * 64, url))
    assert [p.name for p in (tmp_path / "cache" / "files" / "held").iterdir()] in ([], ["a.txt.lock"])


def test_no_network_and_no_url_say_what_to_do(url):
    gone = url.rsplit(":", 1)[0] + ":9/a.txt"
    with pytest.raises(OSError, match=r"could not download.*GENTEXT_DATA"):
        download.fetch("held", "a.txt", download.Remote("0" * 64, gone))
    with pytest.raises(ValueError, match="GENTEXT_DATA is not set"):
        download.fetch("held", "a.txt", download.Remote("0" * 64))


def test_a_file_inside_a_wheel_is_taken_out_and_nothing_else(tmp_path, monkeypatch):
    held = tmp_path / "cache" / "files" / "held"
    held.mkdir(parents=True)
    with zipfile.ZipFile(held / "a_b-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a_b/a.txt", "one\ntwo")
        wheel.writestr("a_b/__init__.py", "raise SystemExit('never imported')")
    said = download.Remote(hashlib.sha256(b"one\ntwo").hexdigest(), package="a-b==1.0", inside="a_b/a.txt")
    assert download.fetch("held", "a.txt", said).read_text() == "one\ntwo"
    with pytest.raises(ValueError, match=r"a_b/a.txt of a-b==1.0 is not the file of sha256 0000"):
        download.fetch("held", "b.txt", replace(said, sha256="0" * 64))
    with pytest.raises(OSError, match=r"could not download a-b==1.0 by pip.*no item named 'c.txt'"):
        download.fetch("held", "c.txt", replace(said, inside="c.txt"))
    monkeypatch.setattr(download.sys, "executable", "false")
    with pytest.raises(OSError, match=r"could not download a-b==2.0 by pip \(no reason given\).*GENTEXT_DATA"):
        download.fetch("held", "d.txt", replace(said, package="a-b==2.0"))


def test_a_folder_of_the_users_own(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(ValueError, match="holds no file of text"):
        texts(LocalText(str(own)))
    (own / "a.txt").write_text("\n".join(LINES), encoding="utf-8")
    (own / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "x"}).encode()))
    found = texts(LocalText(str(own)))
    assert sorted(sum(found.values(), start=[])) == sorted([*LINES, "x"])  # noqa: RUF017
    (own / "train.txt").write_text("\n".join(LINES), encoding="utf-8")
    (own / "dev.txt").write_text("one", encoding="utf-8")
    found = texts(LocalText(str(own), test=2, cut="tail"))
    assert found == {"train": LINES[:-2], "valid": ["one"], "test": LINES[-2:]}
    (own / "train.txt").unlink()
    with pytest.raises(ValueError, match=r"no train\.\*"):
        texts(LocalText(str(own)))


def test_the_users_own_pairs_and_streams_of_many_files(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for name, text in (("train.de", "eins\nzwei"), ("train.en", "one\ntwo"), ("test.de", "drei"), ("test.en", "three")):
        (own / name).write_text(text, encoding="utf-8")
    source = LocalText(str(own), source="de", target="en", valid=1, cut="tail")
    assert [(split, row.text, row.prompt) for split, row in source.rows()] == [
        ("train", "one", "eins"),
        ("valid", "two", "zwei"),
        ("test", "three", "drei"),
    ]
    stream = LocalText(str(own), unit="stream", valid=0)
    assert "".join(texts(stream)["train"]) == "eins\nzwei\none\ntwo"
    assert (source.name, LocalText(str(own / "a.jsonl.gz")).name) == ("own", "a")


def test_options_and_contents_decide_the_identity(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    first = LocalText(str(path)).identity()
    assert LocalText(str(path), seed=1).identity() != first
    assert LocalText(str(path.rename(tmp_path / "sub.txt")), name="text").identity() != ""
    path.write_text("\n".join(LINES), encoding="utf-8")
    assert LocalText(str(path)).identity() == first
    path.write_text("\n".join(LINES[1:]), encoding="utf-8")
    assert LocalText(str(path)).identity() != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b" \n\n\t\n", "holds no text"),
        (b"one line", "1 distinct lines, too few"),
        (b"\x00\x01\x02", "binary"),
        ("café\nau lait\nnoir".encode("latin-1"), "not UTF-8"),
    ],
)
def test_useless_files_are_refused_and_leave_no_cache(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Corpus.open(LocalText(str(path)), Word())
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_missing_files_and_empty_splits_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist; data\.path"):
        Corpus.open(LocalText(str(tmp_path / "none.txt")), Word())
    for name, text in (("train.txt", ""), ("test.txt", "a"), ("valid.txt", "b")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="train holds no text"):
        Corpus.open(LocalText(str(tmp_path)), Word())


def test_a_stated_sha256_of_a_split_must_hold(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    splits = Corpus.open(LocalText(str(path)), Word()).fingerprint()["splits"]
    stated = {split: said["sha256"] for split, said in splits.items()}
    assert Corpus.open(LocalText(str(path), sha256=stated), Word()).fingerprint()["splits"] == splits
    path.write_text("\n".join([*LINES, "one more"]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"data\.sha256\.\w+ states"):
        Corpus.open(LocalText(str(path), sha256=stated), Word())


def test_a_line_of_a_million_words_is_refused_or_cut_aloud(tmp_path, caplog):
    path = tmp_path / "a.txt"
    path.write_text("\n".join([*LINES, "word " * 1_000_000]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"1000000 tokens.*max_len=512"):
        Corpus.open(LocalText(str(path), words="whitespace"), Word())
    corpus = Corpus.open(LocalText(str(path), words="whitespace"), Word(), max_len=4)
    assert "are longer than max_len=4 tokens: cut there to train" in caplog.text
    cut = {split: said["cut"] for split, said in corpus.fingerprint()["splits"].items()}
    assert sum(cut.values()) == len(LINES) + 1
    for batch in corpus.batches("train", 8, rng=torch.Generator().manual_seed(0)):
        assert batch.tokens.shape == (len(batch), 4)
        assert EOS not in batch.tokens
    assert corpus.batch([LINES[0]]).tokens.shape == (1, 4)
    stream = Corpus.open(LocalText(str(path), words="whitespace", unit="stream"), Word())
    assert next(stream.windows("train", 2, 8)).tokens.shape == (2, 8)
    with pytest.raises(ValueError, match="corpus of lines"):
        corpus.windows("train", 2, 8)


def test_wrong_use_of_a_corpus_is_answered(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    with pytest.raises(ValueError, match="max_len is 1"):
        Corpus.open(LocalText(str(path)), Word(), max_len=1)
    with pytest.raises(ValueError, match="words is 'spacy'"):
        Corpus.open(LocalText(str(path), words="spacy"), Char())
    corpus = Corpus.open(LocalText(str(path)), Word())
    with pytest.raises(ValueError, match=r"'validation' is no split of a-[0-9a-f]{8}; they are train, valid, test"):
        corpus.lines("validation")
    with pytest.raises(ValueError, match="0 rows"):
        next(corpus.batches("train", 0))


@pytest.mark.parametrize("recipe", [Word(), BPE(300)], ids=repr)
def test_known_truth_lends_its_lexicon_and_is_drawn_once(recipe, monkeypatch):
    truth = Oracle(6, seed=1, vocab_size=50, width=4)
    source = GeneratedCorpus(truth, train=8, valid=0, test=9)
    corpus = Corpus.open(source, recipe)
    assert [corpus.size(split) for split in ("train", "valid", "test")] == [8, 0, 9]
    assert list(corpus.batches("valid", 4)) == []
    assert corpus.truth is truth
    assert UNK not in sum(corpus.tokenizer.encode(truth.words), [])  # noqa: RUF017
    assert list(corpus.lines("train")) != list(corpus.lines("test"))[:8]
    monkeypatch.setattr(Oracle, "sample", lambda *_: pytest.fail("drawn again"))
    assert Corpus.open(source, recipe).fingerprint() == corpus.fingerprint()


def test_sizes_of_a_truth_must_be_positive():
    with pytest.raises(ValueError, match=r"data\.test is 0"):
        GeneratedCorpus(Oracle(3, vocab_size=5, width=2), test=0)


def test_the_hub_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"gentext\[hf\]"):
        HubText("owner/name").fetch()


def test_the_hub_reads_columns_and_splits(monkeypatch):
    class Table(list):
        column_names = ("n", "text")
        _fingerprint = "f"

    made = {
        "train": Table({"n": i, "text": line} for i, line in enumerate(LINES)),
        "test": Table([{"text": "Last one"}]),
    }
    hub = type("datasets", (), {"load_dataset": staticmethod(lambda *_, **__: made)})
    monkeypatch.setitem(sys.modules, "datasets", hub)
    found = texts(HubText("owner/name", lowercase=True, valid=4, cut="tail"))
    assert found == {"train": LINES[:-4], "valid": LINES[-4:], "test": ["last one"]}
    with pytest.raises(ValueError, match=r"no column 'txt'; it has 'n', 'text'.*data.target"):
        texts(HubText("owner/name", target="txt"))
    made["test"].append({"text": 7})
    with pytest.raises(ValueError, match=r"owner/name, split test, row 2: 'text' is a number, not text"):
        texts(HubText("owner/name"))
    source = HubText("owner/name", skip_bad=True)
    assert texts(source)["test"] == ["Last one"]
    assert source.skipped().total == 1
    made["train"] = Table({"n": f"source {i}", "text": line} for i, line in enumerate(LINES))
    made["test"] = Table([{"n": "source", "text": "Last one"}])
    pairs = HubText("owner/name", source="n", valid=4, cut="tail").rows()
    assert next(row for _, row in pairs) == TextRow(LINES[0], "source 0")


def test_rows_left_out_are_counted_and_said_also_from_the_cache(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": line}) for line in [*LINES, None, 3, None]), encoding="utf-8")
    with pytest.raises(ValueError, match="line 41: 'text' is null"):
        Corpus.open(LocalText(str(path)), Word())
    for _ in range(2):
        caplog.clear()
        corpus = Corpus.open(LocalText(str(path), skip_bad=True), Word())
        assert "3 rows are not text and are left out" in caplog.text
        assert "line 41: 'text' is null" in caplog.text
        assert corpus.fingerprint()["skipped"] == 3
        assert sum(corpus.size(split) for split in ("train", "valid", "test")) == len(LINES)


def test_an_empty_path_is_refused():
    with pytest.raises(ValueError, match=r"data\.path is empty"):
        LocalText("")


def test_two_files_of_one_name_are_two_corpora(tmp_path):
    names = []
    for folder, lines in (("x", LINES), ("y", LINES[1:]), ("z", LINES)):
        path = tmp_path / folder / "my.txt"
        path.parent.mkdir()
        path.write_text("\n".join(lines), encoding="utf-8")
        corpus = Corpus.open(LocalText(str(path)), Word())
        names.append(corpus.name)
        assert corpus.fingerprint()["name"] == corpus.name
        assert Corpus.open(LocalText(str(path), name="mine"), Word()).name == "mine"
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("my-") for name in names)


def test_the_fingerprint_is_of_the_text_also_from_the_cache(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    stat = path.stat()
    first = Corpus.open(LocalText(str(path)), Word()).fingerprint()
    assert Corpus.open(LocalText(str(path)), Word()).fingerprint() == first
    path.write_text("\n".join(LINES).replace("the", "one"), encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    other = Corpus.open(LocalText(str(path)), Word()).fingerprint()
    assert other["tokenizer_sha256"] != first["tokenizer_sha256"]
    for split in ("train", "valid", "test"):
        assert other["splits"][split]["sha256"] != first["splits"][split]["sha256"]
    assert Corpus.open(LocalText(str(path), test=0.2), Word()).fingerprint()["splits"] != other["splits"]


def test_what_is_taken_from_train_is_said_at_every_opening(tmp_path, caplog):
    caplog.set_level("INFO", logger="gentext")
    own = tmp_path / "own"
    own.mkdir()
    for name in ("train.txt", "test.txt", "readme.txt"):
        (own / name).write_text("\n".join(LINES), encoding="utf-8")
    for _ in range(2):
        caplog.clear()
        Corpus.open(LocalText(str(own)), Word())
        assert "has no valid split: 5.0% of train taken for it" in caplog.text
        assert "no test split" not in caplog.text
        assert caplog.text.count("readme.txt read as no split") == 1
    caplog.clear()
    whole = Corpus.open(LocalText(str(own), valid=0), Word())
    assert "taken for it" not in caplog.text
    assert whole.size("train") == len(LINES)


@pytest.mark.parametrize("size", [float("nan"), float("inf"), -1, 1.5])
def test_sizes_of_splits_are_refused_before_anything_is_read(size):
    with pytest.raises(ValueError, match=r"data\.valid is"):
        LocalText("nowhere.txt", valid=size)


@pytest.mark.parametrize(
    ("options", "message"), [({"words": "spacy"}, "treebank"), ({"sha256": {"all": "0"}}, "train")]
)
def test_wrong_options_are_refused_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        LocalText("nowhere.txt", **options)
