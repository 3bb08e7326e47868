"""A small convolutional network that tells two kinds of sentences apart."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional as F

from gentext.data.ngram_arrays import Sentences, unigrams

WIDTH = 64
WINDOWS = (1, 2, 3)
BATCH = 64
EPOCHS, STEPS = 5, 200  # so many passes, or more of them for so many steps
LONGEST = 256  # words of a text that the network reads


class SentenceCNN(nn.Module):
    """The log-odds of each sentence: word vectors, windows of 1 to 3 words, their maximum over time (Kim 2014)."""

    def __init__(self, vocab_size: int, rng: torch.Generator) -> None:
        super().__init__()

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=rng) * scale)

        self.vectors = drawn(vocab_size, WIDTH, scale=0.1)
        self.filters = nn.ParameterList(drawn(WIDTH, WIDTH, size, scale=(WIDTH * size) ** -0.5) for size in WINDOWS)
        self.biases = nn.Parameter(torch.zeros(len(WINDOWS), WIDTH))
        self.out = nn.Parameter(torch.zeros(len(WINDOWS) * WIDTH))

    def forward(self, words: Int[Tensor, "n t"]) -> Float[Tensor, " n"]:
        vectors = F.embedding(words, self.vectors).transpose(1, 2)  # [n d t]
        pooled = [
            F.conv1d(vectors, filters, bias).relu().amax(2)
            for filters, bias in zip(self.filters, self.biases, strict=True)
        ]
        return torch.cat(pooled, 1) @ self.out


def cnn(
    sentences: Sentences, generated: Bool[ndarray, " n"], train: Int[ndarray, " p"], seed: int
) -> Bool[ndarray, " n"]:
    """The side that a TextCNN, trained on rows `train`, takes each sentence to be of."""
    words, size = padded(sentences)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the steps are so small that threads spend them waiting for each other
    try:
        network = trained(words, torch.from_numpy(generated).float(), torch.from_numpy(train), size, seed)
        with torch.no_grad():
            return torch.cat([network(trimmed(part)) > 0 for part in words.split(1024)]).numpy()
    finally:
        torch.set_num_threads(threads)


def trained(
    words: Int[Tensor, "n t"], labels: Float[Tensor, " n"], rows: Int[Tensor, " p"], vocab_size: int, seed: int
) -> SentenceCNN:
    """A network that was shown the rows in shuffled batches, also inside of inference mode."""
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad():
        network = SentenceCNN(vocab_size, rng)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
        for _ in range(max(EPOCHS, STEPS * BATCH // len(rows))):
            for chosen in rows[torch.randperm(len(rows), generator=rng)].split(BATCH):
                loss = F.binary_cross_entropy_with_logits(network(trimmed(words[chosen])), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return network


def trimmed(words: Int[Tensor, "n t"]) -> Int[Tensor, "n k"]:
    """The rows without the columns in which all of them have ended, as far as the widest window allows."""
    return words[:, : max(int((words != 0).sum(1).max()), max(WINDOWS))]


def padded(sentences: Sentences) -> tuple[Int[Tensor, "n t"], int]:
    """The sentences as rows of word numbers, 0 where one has ended, and how many numbers there are."""
    grams = unigrams(sentences)
    begins = np.concatenate([[0], sentences.lengths.cumsum()[:-1]])
    column = np.arange(len(sentences.words)) - np.repeat(begins, sentences.lengths)
    width = max(min(int(sentences.lengths.max()), LONGEST), max(WINDOWS))
    rows = np.zeros((len(sentences), width), dtype=np.int64)
    inside = column < width
    rows[grams.sentence[inside], column[inside]] = grams.rank[inside] + 1
    return torch.from_numpy(rows), grams.size + 1
