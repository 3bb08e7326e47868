"""Export to the ARPA format, which KenLM, SRILM and most speech recognisers read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

from gentext.files import atomic
from gentext.models.layers import ModuleList
from gentext.models.ngram.table import NgramTable
from gentext.types import BOS, EOS, PAD, RESERVED, UNK

NAMES = {PAD: "<pad>", BOS: "<s>", EOS: "</s>", UNK: "<unk>"}


def write_arpa(path: Path, levels: ModuleList[NgramTable], vocabulary: Sequence[str]) -> None:
    """Writes all n-grams with log10 of their probability and of their back-off; the file appears whole or not at all.

    The reserved ids are spelt <s>, </s> and <unk>, whatever the vocabulary calls them; PAD is left out.
    Raises: ValueError where a token cannot be spelt in a format that separates tokens by blanks.
    """
    spelt = _spellings(vocabulary, len(levels[0]))
    with atomic(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {k}={len(level) - (k == 1)}\n" for k, level in enumerate(levels, 1))
        texts = [""]
        for k, level in enumerate(levels, 1):
            file.write(f"\n\\{k}-grams:\n")
            heads, words = level.parents.tolist(), level.words.tolist()
            texts = [f"{texts[head]} {spelt[word]}".lstrip() for head, word in zip(heads, words, strict=True)]
            lines = _lines(texts, level, levels[k] if k < len(levels) else None)
            file.writelines(line for i, line in enumerate(lines) if k > 1 or i != PAD)
        file.write("\n\\end\\\n")


def _lines(texts: list[str], level: NgramTable, longer: NgramTable | None) -> Iterator[str]:
    """One line for each n-gram of a level; its back-off is told by the level of the longer ones."""
    scale = 1 / math.log(10)
    log_p = (level.log_p.double() * scale).clamp(-99.0, 0.0).tolist()
    backoff = repeat("") if longer is None else (f"\t{x:.7g}" for x in (longer.log_backoff.double() * scale).tolist())
    for p, text, back in zip(log_p, texts, backoff, strict=False):  # the absent n-gram, last, has no text
        yield f"{p:.7g}\t{text}{back}\n"


def _spellings(vocabulary: Sequence[str], vocab_size: int) -> list[str]:
    if len(vocabulary) != vocab_size:
        raise ValueError(f"{len(vocabulary)} spellings were given for {vocab_size} tokens; give one for each id")
    spelt = [NAMES.get(i, token) for i, token in enumerate(vocabulary)]
    for i, token in enumerate(spelt[RESERVED:], RESERVED):
        if token.split() != [token]:
            raise ValueError(f"token {i} is {token!r}, and ARPA separates tokens by blanks; spell it without, as '▁'")
    token, times = Counter(spelt).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{times} tokens are spelt {token!r}; an ARPA file tells tokens by their spelling: rename one")
    return spelt
