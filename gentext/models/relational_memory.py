"""Relational memory: slots of a recurrent state that attend to each other and to what is read, behind gates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gentext.checks import at_least, finite
from gentext.language_model import LanguageModel, SupportsHidden
from gentext.models.layers import Embedding, at_columns, teacher_forced
from gentext.models.output import Output
from gentext.types import BOS, Batch, Outputs, Step, Tokens

Memory = Float[Tensor, "n m d"]  # m slots of d = heads x head_size numbers; the state


class RelationalMemory(LanguageModel, SupportsHidden):
    """A language model over a relational memory core: RelGAN's generator.

    slots: rows of the memory.  head_size: numbers of a query, a key and a value of each head.
    forget_bias: added to the forget gate before its sigmoid, so that a new memory keeps what it holds.
    Source: Santoro et al. 2018, section 3 (the core); Nie et al. 2019 (RelGAN), section 2.1, and the sizes of its code:
    1 slot, 2 heads of 256, embeddings of 32.
    Differs: dot products are scaled by the size of a key, as the papers say, and not by that of query, key and value
    together, as RelGAN's code does; LayerNorm is taken of each row, and not of all rows of a text at once.

    Example:
        >>> model = RelationalMemory(9, heads=2, head_size=4, embedding=4)
        >>> step = model.start(3)
        >>> step.state.shape, model.step(step.state, torch.tensor([4, 5, 6])).logits.shape
        (torch.Size([3, 1, 8]), torch.Size([3, 9]))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        slots: int = 1,
        heads: int = 2,
        head_size: int = 256,
        embedding: int = 32,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        at_least(1, slots=slots, heads=heads, head_size=head_size, embedding=embedding)
        finite(forget_bias=forget_bias)
        self.vocab_size, self.slots, self.heads, self.forget_bias = vocab_size, slots, heads, forget_bias
        self.width = width = heads * head_size
        self.embedding = Embedding(vocab_size, embedding)
        self.input = nn.Linear(embedding, width)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.project_norm = nn.LayerNorm(3 * width)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gate_input = nn.Linear(width, 2 * width, bias=False)
        self.gate_memory = nn.Linear(width, 2 * width, bias=False)
        self.output = Output(vocab_size, slots * width, bias=True)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        first = torch.full((n,), BOS, device=self.embedding.weight.device)
        return self.step(self._empty(n), first)

    def step(self, state: Memory, tokens: Tokens) -> Step:
        (read,) = self._read(self.embedding(tokens)[:, None])
        memory = self._next(state, *read)
        return Step(self.output(self.hidden(memory)), memory)

    def hidden(self, state: Memory) -> Float[Tensor, "n md"]:
        return state.flatten(1)

    def forward(self, batch: Batch) -> Outputs:
        mode = "training" if self.training else "scoring"
        first, memory = self.carried[mode] if batch.carry and mode in self.carried else (None, self._empty(len(batch)))
        inputs, columns = teacher_forced(batch, first)
        states = []
        for read in self._read(self.embedding(inputs)):
            memory = self._next(memory, *read)
            states.append(self.hidden(memory))
        self.carried[mode] = (batch.tokens[:, -1].detach(), memory.detach())
        hidden = at_columns(torch.stack(states, 1), columns)
        return Outputs(self.output.log_prob(hidden, batch.tokens, batch.mask), hidden)

    def flops(self, tokens: int) -> float:
        """Two for each weight and token: of the input once, of each slot once, and the output layer."""
        d, m = self.width, self.slots
        once = self.input.weight.numel() + 3 * d * d + 2 * d * d
        slot = 3 * d * d + 2 * d * d + 2 * d * d + 2 * d * (m + 1)
        return 2.0 * tokens * (once + m * slot + self.output.weight.numel())

    def _empty(self, n: int) -> Memory:
        """The rows of the identity, so that no two slots are alike."""
        like = self.embedding.weight
        return torch.eye(self.slots, self.width, device=like.device, dtype=like.dtype).expand(n, -1, -1)

    def _read(self, vectors: Float[Tensor, "n t e"]) -> list[tuple[Tensor, Tensor]]:
        """For each token in turn its query, key and value, and its part of the gates: these need no state."""
        projected, gates = self._of_input(self.project, vectors), self._of_input(self.gate_input, vectors)
        return list(zip(self.project_norm(projected).unbind(1), gates.unbind(1), strict=True))

    def _of_input(self, layer: nn.Linear, vectors: Float[Tensor, "n t e"]) -> Float[Tensor, "n t f"]:
        """layer(input(vectors)), in the order that costs least: for many narrow vectors the two matrices first."""
        made = torch.linalg.multi_dot([vectors.flatten(0, 1), self.input.weight.T, layer.weight.T])
        return (made + layer.weight @ self.input.bias).unflatten(0, vectors.shape[:2])

    def _next(self, memory: Memory, projected: Float[Tensor, "n p"], gates: Float[Tensor, "n g"]) -> Memory:
        """The memory after a token. A slot attends to every slot and to the token (Nie et al. 2019, equation 3)."""
        rows = torch.cat([self.project_norm(self.project(memory)), projected[:, None]], 1)
        q, k, v = rows.unflatten(2, (self.heads, -1)).transpose(1, 2).chunk(3, 3)  # n h m+1 size
        attended = F.scaled_dot_product_attention(q[:, :, :-1], k, v).transpose(1, 2).flatten(2)
        new = self.attention_norm(memory + attended)
        new = self.mlp_norm(new + self.mlp(new))
        taken, kept = (self.gate_memory(memory.tanh()) + gates[:, None]).chunk(2, 2)
        return taken.sigmoid() * new.tanh() + (kept + self.forget_bias).sigmoid() * memory
