"""The options that every decoder of this package shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gentext.checks import at_least
from gentext.decode.logit_rules import LogitRules
from gentext.language_model import Decoder


@dataclass(frozen=True, kw_only=True)
class BaseDecoder(Decoder):
    """A decoder under logit rules (see LogitRules). batch_size: rows of the model's state at once, at most."""

    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_len: int = 0
    ban_unk: bool = False
    batch_size: int = 512

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size)
        _ = self.rules  # checks its own fields

    def ending(self) -> Decoder:
        return replace(self, min_len=0)

    def lasting(self, length: int) -> Decoder:
        return replace(self, min_len=length)

    @property
    def rules(self) -> LogitRules:
        return LogitRules(self.repetition_penalty, self.no_repeat_ngram, self.min_len, self.ban_unk)
