"""Tokenizers: ids that the library itself gives, text that comes back, and no text that can spell a reserved id."""

import json
import pickle

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from gentext.data.spacing import Spacing
from gentext.data.tokenizer import BPE, RESERVED, SPELLINGS, UNKNOWN, Char, Recipe, Tokenizer, Word
from gentext.data.words import treebank
from gentext.types import BOS, EOS, PAD, UNK

TEXTS = ["A dog's life isn't easy.", "the dog, the cat and the <unk>", "秦川雄帝宅，函谷壮皇居。", "the <eos> of <pad>"]
RECIPES = [Word("treebank"), Word("whitespace"), Word("char"), Char(), BPE(300), Word("treebank", lowercase=True)]


@pytest.mark.parametrize("recipe", RECIPES, ids=repr)
def test_saved_and_loaded_by_us_and_by_the_library(recipe, tmp_path):
    assert isinstance(recipe, Recipe)
    fitted = recipe.fit(TEXTS)
    path = tmp_path / "tokenizer.json"
    fitted.save(path)
    again = Tokenizer.load(path)
    assert again.encode(TEXTS) == fitted.encode(TEXTS)
    assert again.signature() == fitted.signature()
    assert again.vocab_size == fitted.vocab_size
    library = tokenizers.Tokenizer.from_file(str(path))
    assert [library.token_to_id(spelling) for spelling in SPELLINGS] == [PAD, BOS, EOS, UNK]
    for text, ids in zip(TEXTS, fitted.encode(TEXTS), strict=True):
        given_words = isinstance(recipe, Word) and recipe.words == "treebank"
        text = text.lower() if recipe.lowercase else text
        words = " ".join(treebank(text)) if given_words else " ".join(text) if recipe == Word("char") else text
        assert library.encode(words).ids == ids


@pytest.mark.parametrize("recipe", [Char(), BPE(280)], ids=repr)
def test_characters_and_bytes_come_back_exactly(recipe):
    fitted = recipe.fit(TEXTS)
    assert fitted.decode(fitted.encode(TEXTS)) == TEXTS
    assert "back:exact" in fitted.signature()


@given(st.text(max_size=30))
def test_bpe_knows_every_text(text):
    fitted = test_bpe_knows_every_text.fitted
    text = text.replace("\0", "")
    (ids,) = fitted.encode([text])
    assert UNK not in ids
    assert min(ids, default=RESERVED) >= RESERVED
    assert fitted.decode([ids]) == [text]


test_bpe_knows_every_text.fitted = BPE(300).fit(TEXTS)


@pytest.mark.parametrize("recipe", RECIPES, ids=repr)
def test_no_text_spells_a_reserved_id(recipe):
    texts = ["<pad> <bos> <eos> </s> [PAD]", *SPELLINGS, "a" + "".join(SPELLINGS) + "b", "\0EOS b"]
    for ids in recipe.fit([*texts, *TEXTS]).encode(texts):
        assert not {PAD, BOS, EOS} & set(ids)


def test_a_literal_unk_is_a_word_and_not_the_unknown():
    fitted = Word("whitespace").fit(["the <unk> of"])
    assert UNK not in fitted.encode(["the <unk>"])[0]
    assert fitted.encode(["the zebra"])[0][1] == UNK
    assert fitted.decode(fitted.encode(["<unk> zebra of"])) == [f"<unk> {UNKNOWN} of"]


def test_decoding_stops_at_the_end_and_skips_padding():
    fitted = Word("whitespace").fit(["a b c"])
    a, b, c = fitted.encode(["a b c"])[0]
    assert fitted.decode([[BOS, a, PAD, b, EOS, c], [EOS, a], [], [PAD, PAD]]) == ["a b", "", "", ""]
    assert fitted.decode([[a, UNK, EOS]]) == [f"a {UNKNOWN}"]


def test_vocabulary_is_by_count_then_spelling_and_can_be_cut():
    texts = ["b b a a c", "d c b"]
    whole, common, small = Word().fit(texts), Word(min_count=2).fit(texts), Word(max_size=6).fit(texts)
    assert whole.encode(["b a c d"]) == [[4, 5, 6, 7]]
    assert common.encode(["b a c d"]) == [[4, 5, 6, UNK]]
    assert (common.vocab_size, small.vocab_size) == (7, 6)
    assert "min:2" in common.signature()
    assert Word().fit(reversed(texts)).sha256 == whole.sha256
    assert Word().fit(texts, vocabulary=["e", "a"]).encode(["e"]) == [[8]]


def test_lower_case_is_one_vocabulary():
    fitted = Word("treebank", lowercase=True).fit(["The dog.", "the Dog."])
    assert fitted.vocab_size == RESERVED + 3
    assert fitted.encode(["THE DOG."]) == fitted.encode(["the dog."])
    assert "case:lower" in fitted.signature()


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (BPE, {"vocab_size": 100}, "260 or more"),
        (BPE, {"vocab_size": 10**9}, "1000000 at most"),
        (Word, {"min_count": 0}, "min_count is 0"),
        (Char, {"min_count": -1}, "min_count is -1"),
        (Word, {"max_size": 4}, "max_size is 4"),
        (Word, {"words": "spacy"}, "treebank"),
    ],
)
def test_wrong_options_say_what_is_needed(recipe, options, message):
    with pytest.raises(ValueError, match=message):
        recipe(**options)


def test_a_vocabulary_of_nothing_says_what_to_change():
    with pytest.raises(ValueError, match=r"lower tokenizer\.min_count"):
        Word(min_count=9).fit(TEXTS)


FRENCH = [
    "Salut !",
    "Cours\u202f!",
    "Cours\u202f!",
    "Viens, Jean !",
    "Quoi ? Moi ?",
    "Il dit : « non » !",
    "C'est l'ami.",
] * 3


def test_a_language_that_the_usual_spelling_damages_keeps_its_spaces(tmp_path):
    fitted = Word("treebank").fit(FRENCH)
    assert "back:spaces" in fitted.signature()
    texts = ["Jean, Viens !", "Il dit : « Quoi ? »", "l'ami."]
    assert fitted.decode(fitted.encode(texts)) == texts
    fitted.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.signature() == fitted.signature()
    assert again.decode(again.encode(texts)) == texts
    assert pickle.loads(pickle.dumps(again.rules)) == fitted.rules


def test_sources_are_read_and_never_decide_how_texts_are_spaced():
    english = ["Hello!", "Run, John!", "What? Me?"] * 9
    assert "back:spaces" in Word("treebank").fit(FRENCH, sources=english).signature()
    fitted = Word("treebank").fit(english, sources=FRENCH)
    assert "back:words" in fitted.signature()
    assert UNK not in fitted.encode(["Salut !"])[0]


@given(st.lists(st.sampled_from(["a", "dog", ".", ",", "n't", "'s", "``", "''", "(", ")", "!", "«", "»"]), max_size=9))
def test_learned_spaces_never_change_the_words(found):
    text = Spacing.learned(FRENCH).join(found)
    assert treebank(text) == found or text == " ".join(found)


def test_a_broken_file_says_so(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ValueError, match="does not exist"):
        Tokenizer.load(path)
    Char().fit(TEXTS).save(path)
    path.write_text(json.dumps({"model": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="not a saved tokenizer"):
        Tokenizer.load(path)
    path.with_suffix(".rules.json").unlink()
    with pytest.raises(ValueError, match=r"rules\.json"):
        Tokenizer.load(path)
