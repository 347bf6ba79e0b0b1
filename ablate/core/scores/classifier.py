"""A small classifier, trained here on the data set's own labels: is a generated image clearly one class, and which?

One hidden layer of 128 units on the pixels; 300 updates of Adam on batches of 128 training images, always from the same
seed. More would make it surer of everything: after 300 it is about as sure of unseen digits (.93) as it is right (.90),
and of samples of a Gaussian less (.73). It is no Inception network: what it says compares within one data set only,
and beside it stand what it says of real images that it has not seen, and how often it is right about them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.core.data import Labels, as_unit
from ablate.core.diffusion.validation import EVALUATION_SEED
from ablate.core.shared.seeding import address, generator

HIDDEN, UPDATES, BATCH, LR = 128, 300, 128, 2e-3
SCORES = ("classifier_confidence", "class_balance")
_CHUNK = 1024


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, and how often it is right about held-out images."""

    network: nn.Module
    accuracy: float

    @classmethod
    def fit(cls, train: Tensor, test: Tensor, labels: Labels) -> Self:
        """Train on uint8 images `train` [N,C,H,W] and ask about `test` [M,C,H,W]."""
        network = _network(train[0].numel(), labels.classes).to(train.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=LR)
        for update in range(UPDATES):
            stream = generator(EVALUATION_SEED, "classifier-batch", update)
            chosen = torch.randint(len(train), (BATCH,), generator=stream).to(train.device)
            loss = functional.cross_entropy(network(as_unit(train[chosen])), labels.train[chosen])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
        right = cls(network, 0.0).probabilities(test).argmax(1) == labels.test
        return cls(network, float(right.double().mean()))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probability of every class, float64 [N,K], of uint8 `images` [N,C,H,W]."""
        parts = [images[first : first + _CHUNK] for first in range(0, len(images), _CHUNK)]
        return torch.cat([self.network(as_unit(part)).double().softmax(1) for part in parts])

    def scores(self, images: Tensor, names: Collection[str] = SCORES) -> dict[str, float]:
        """Return those of `names` that are among `SCORES`.

        ``classifier_confidence`` is the mean of the largest probability. ``class_balance`` is exp of the entropy of how
        often each class is the most probable one, over the number of classes: 1 for all alike, 1/K for one class.
        """
        if set(SCORES).isdisjoint(names):
            return {}
        sure, kinds = self.probabilities(images).max(1)
        classes = int(self.network[-1].out_features)  # type: ignore[index]
        shares = kinds.bincount(minlength=classes).double() / len(images)
        balance = float(torch.special.entr(shares).sum().exp()) / classes
        found = {"classifier_confidence": float(sure.mean()), "class_balance": balance}
        return {name: value for name, value in found.items() if name in names}

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers for the stage cache."""
        return {"network": self.network.state_dict(), "accuracy": self.accuracy}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> Self:
        """Rebuild a classifier from `state`."""
        weights = state["network"]
        network = _network(weights["1.weight"].shape[1], len(weights["3.bias"]))
        network.load_state_dict(weights)
        return cls(network.to(device), float(state["accuracy"]))


def _network(values: int, classes: int) -> nn.Sequential:
    """An untrained network, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(address(EVALUATION_SEED, "classifier-weights"))
        return nn.Sequential(nn.Flatten(), nn.Linear(values, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
