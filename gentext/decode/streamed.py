"""A text shown piece by piece while it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from gentext.data.tokenizer import Tokenizer
from gentext.language_model import LanguageModel


class TextStream:
    """Gives each piece of a text to `show` once no later token can change it.

    The token that was drawn last is held back, since words are joined to what follows them, and so is what may be the
    beginning of a stop string, and the space before it. Where a later word changes how an earlier one is spelled (a
    quotation mark that is closed), the pieces wait for the end.

    Args:
        tokenizer: of the model.
        show: is given the pieces, whose concatenation is the text.
        before: ids that the text begins with, of a prompt that it repeats.
        until: the text before the first stop string, see TrainedModel.sample.
        stop: the stop strings.

    Example:
        >>> from gentext.data import Word
        >>> tokenizer = Word().fit(["a man rides a horse"])
        >>> pieces = []
        >>> stream = TextStream(tokenizer, pieces.append)
        >>> for token in tokenizer.encode(["a man rides"])[0]:
        ...     stream.add(token)
        >>> stream.end("a man rides")
        >>> pieces
        ['a', ' man', ' rides']
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        show: Callable[[str], None],
        before: Sequence[int] = (),
        until: Callable[[str], str] = str,
        stop: Sequence[str] = (),
    ) -> None:
        self._tokenizer, self._show, self._until, self._stop = tokenizer, show, until, stop
        self._ids, self._shown = list(before), ""

    def add(self, token: int) -> None:
        """Take a token that was drawn."""
        (text,) = self._tokenizer.decode([self._ids])
        self._ids.append(token)
        text = text.rstrip("\ufffd")  # the first bytes of a character
        whole = self._until(text)
        if whole == text:
            begun = (n for string in self._stop for n in range(len(string), 0, -1) if text.endswith(string[:n]))
            whole = text[: len(text) - max(begun, default=0)]
        if self._stop:
            whole = whole.rstrip()
        self._reach(whole)

    def end(self, text: str) -> None:
        """Show what is left of the whole text; all of it anew on a line of its own where it begins otherwise."""
        if not text.startswith(self._shown):
            self._show("\n")
            self._shown = ""
        self._reach(text)

    def _reach(self, text: str) -> None:
        if text.startswith(self._shown) and text != self._shown:
            self._show(text[len(self._shown) :])
            self._shown = text


@contextmanager
def tokens_to(family: LanguageModel, token: Callable[[int], None]) -> Iterator[None]:
    """While this lasts, `token` is told each token of the one text that a decoder draws from the family.

    Of what draws without steps, or several texts at once, it is told nothing.
    """
    step, begins = family.step, {name: getattr(family, name) for name in ("start", "prime")}
    reading = False

    def stepped(state: Any, tokens: Tensor) -> Any:
        if len(tokens) == 1 and not reading:
            token(int(tokens[0]))
        return step(state, tokens)

    def begun(name: str) -> Callable[..., Any]:
        def begin(*args: Any, **options: Any) -> Any:
            nonlocal reading
            outer, reading = reading, True  # what a prompt is read by are steps too
            try:
                return begins[name](*args, **options)
            finally:
                reading = outer

        return begin

    before = dict(vars(family))
    try:
        vars(family).update({"step": stepped, **{name: begun(name) for name in begins}})
        yield
    finally:
        for name in ("step", *begins):
            del vars(family)[name]
            vars(family).update({name: before[name]} if name in before else {})
