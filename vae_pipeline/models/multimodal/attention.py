"""Cross-modal attention: what one encoder saw helps the other to encode."""

import torch
from torch import Tensor, nn

__all__ = ["CrossModalAttention"]

TOKENS, WIDTH, HEADS = 8, 64, 4


class CrossModalAttention(nn.Module):
    """Features of one modality, with what they ask of the other's added.

    Either side's features become a few tokens; those of the one ask, those of the other answer. The answer is added to
    the features that asked, and nothing where the other modality is missing. It begins by adding nothing, so that
    encoders that were trained alone go on as they were.

    A. Vaswani et al., Attention is all you need, NeurIPS 2017.
    """

    def __init__(self, asking: int, asked: int) -> None:
        """``asking`` and ``asked`` are the numbers of features of the two modalities."""
        super().__init__()
        self.question = nn.Linear(asking, TOKENS * WIDTH)
        self.key = nn.Linear(asked, TOKENS * WIDTH)
        self.value = nn.Linear(asked, TOKENS * WIDTH)
        self.answer = nn.Linear(TOKENS * WIDTH, asking)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(self, features: Tensor, other: Tensor, there: Tensor) -> Tensor:
        """Features, shape (n, asking).

        Args:
            features: of the modality that asks, shape (n, asking).
            other: of the one that is asked, shape (n, asked).
            there: 1 where the other modality is there, else 0, shape (n, 1).
        """
        question, key, value = _heads(self.question(features)), _heads(self.key(other)), _heads(self.value(other))
        weight = torch.softmax(question @ key.transpose(2, 3) / (WIDTH // HEADS) ** 0.5, dim=-1)
        answer = (weight @ value).transpose(1, 2).flatten(1)
        return features + there * self.answer(answer)


def _heads(tokens: Tensor) -> Tensor:
    """Shape (n, HEADS, TOKENS, WIDTH // HEADS)."""
    return tokens.unflatten(1, (TOKENS, HEADS, WIDTH // HEADS)).transpose(1, 2)
