"""Between the ids of a tokenizer here and those of a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.types import BOS, EOS, PAD, RESERVED, UNK


class Vocabulary(nn.Module):
    """Ids and logits of a checkpoint as those of its tokenizer here (gentext.data.PretrainedTokenizer).

    Every event has one id: the checkpoint's marks are EOS and UNK here and have no second one; its padding and its
    beginning are never emitted, and the other tokens share the probability that it gives those.

    outputs: the tokens of which the checkpoint has weights.
    marks: its ids of bos, eos, pad and unk.
    added: ids that transformers gave the tokenizer, as it does of a GGUF file whose own tokens lack a mark; those of
      which there are no weights are never emitted.
    Raises: ValueError where other tokens have no weights.
    """

    theirs: Tensor
    shown: Tensor
    floor: Tensor

    def __init__(
        self, vocab_size: int, outputs: int, marks: Mapping[str, int | None], added: Collection[int] = ()
    ) -> None:
        super().__init__()
        own = vocab_size - RESERVED
        if not set(range(outputs, own)) <= set(added):
            raise ValueError(
                f"the tokenizer has {own} tokens and the checkpoint {outputs}: they do not belong together; let "
                "tokenizer.model be family.model"
            )
        theirs = torch.arange(-RESERVED, own)
        nowhere = theirs >= outputs
        known = {name: mark for name, mark in marks.items() if mark is not None}
        for here, name in ((PAD, "pad"), (BOS, "bos"), (EOS, "eos"), (UNK, "unk")):
            theirs[here] = known.get(name, known["eos"])
        theirs[nowhere] = known["eos"]  # an id that it has, for its logit is not shown
        shown = torch.zeros(vocab_size).masked_fill(nowhere, -torch.inf)
        shown[[PAD, BOS, *([] if "unk" in known else [UNK])]] = -torch.inf
        shown[[RESERVED + mark for mark in known.values()]] = -torch.inf
        floor = torch.full((outputs,), -torch.inf)
        floor[theirs[shown == 0]] = 0.0
        self.register_buffer("theirs", theirs, persistent=False)
        self.register_buffer("shown", shown, persistent=False)
        self.register_buffer("floor", floor, persistent=False)

    def ids(self, tokens: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """The checkpoint's ids of tokens."""
        return self.theirs[tokens]

    def logits(self, theirs: Float[Tensor, "*n w"]) -> Float[Tensor, "*n v"]:
        """Its logits as those of the tokens here."""
        return theirs.float().index_select(-1, self.theirs) + self.shown

    def log_prob(
        self, theirs: Float[Tensor, "n t w"], tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n t"]:
        """log p(token), zero where the mask is false."""
        logits = (theirs[mask].float() + self.floor).log_softmax(-1)
        found = logits.gather(1, self.theirs[tokens[mask]][:, None])[:, 0] + self.shown[tokens[mask]]
        return found.new_zeros(mask.shape).masked_scatter(mask, found)
