"""How a study is tested: chosen in the ``report`` and ``seeds`` sections of its file, before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ablate.errors import AblateError

Test = Literal["paired", "welch", "permutation", "skewed"]
Noise = Literal["own", "pooled"]
Correction = Literal["holm", "bh", "none"]
Boundaries = Literal["spending", "split"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "test": get_args(Test),
    "noise": get_args(Noise),
    "correct": get_args(Correction),
    "equivalence": get_args(Correction),
}
"""Every choice of the section ``report`` and the words it knows, the default first."""
LOOK_CHOICES: Mapping[str, tuple[str, ...]] = {"boundaries": get_args(Boundaries)}
"""The same for ``seeds``, where it declares looks."""
FUTILITY = 0.1
"""Chance of a decision by the last look below which an arm gets no more seeds, unless the study says otherwise."""
MOST_FUTILITY = 0.5
FEWEST_FLIPS = 6
"""Shared seeds below which no exact sign-flip test can reach p = 0.05."""
FEWEST_SKEWED = 5
"""Shared seeds from which on the test for skewed noise keeps its level, as measured."""
FEWEST: Mapping[str, int] = {"permutation": FEWEST_FLIPS, "skewed": FEWEST_SKEWED}
"""Test -> shared seeds below which it decides nothing, where that is more than two."""
LARGEST_FLIP = 20
"""Shared seeds up to which every flip of signs is counted."""


@dataclass(frozen=True)
class Method:
    """How the study is tested. Raises AblateError for names that are not known and for a pair that does not go."""

    test: Test = "paired"
    noise: Noise = "own"
    correct: Correction = "holm"
    equivalence: Correction = "holm"
    """How "equivalent" is corrected for the number of arms, a family of its own."""
    boundaries: Boundaries = "spending"
    """How several looks share alpha: by a spending function and the joint distribution of the looks, or split."""
    futility: float = FUTILITY
    """With several looks, an arm is stopped when the chance to decide it by the last one is below this; 0: never."""

    def __post_init__(self) -> None:
        for word, known in (*CHOICES.items(), *LOOK_CHOICES.items()):
            if (value := getattr(self, word)) not in known:
                raise AblateError(f"{word} is one of {', '.join(known)}; got {value!r}")
        if not 0 <= self.futility <= MOST_FUTILITY:
            raise AblateError(f"futility is a chance from 0 to {MOST_FUTILITY}; got {self.futility!r}")
        if self.noise == "pooled" and self.test != "paired":
            raise AblateError(f"pooled noise needs the paired test, not {self.test}")

    def __str__(self) -> str:
        return ", ".join(f"{word} {value}" for word, value in asdict(self).items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Method:
        """Rebuild a method from `to_dict`. What was stored before a choice existed keeps what was done then."""
        return cls(**(dict(LATER_CHOICES) | dict(data)))

    def changes(self, declared: Method) -> dict[str, tuple[str, str]]:
        """Return choice -> (what was declared, what it is here), where they differ."""
        before, here = asdict(declared), asdict(self)
        return {word: (str(before[word]), str(here[word])) for word in here if before[word] != here[word]}


LATER_CHOICES: Mapping[str, Any] = {"equivalence": "none", "boundaries": "split", "futility": 0.0}
"""Choices that older studies could not make, and how their verdicts were taken."""
