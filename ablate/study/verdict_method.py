"""How a study is tested: chosen in the ``report`` section of its file, before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ablate.errors import AblateError

Test = Literal["paired", "welch", "permutation"]
Noise = Literal["own", "pooled"]
Correction = Literal["holm", "bh", "none"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "test": get_args(Test),
    "noise": get_args(Noise),
    "correct": get_args(Correction),
}
"""Every choice and the words it knows, the default first."""
FEWEST_FLIPS = 6
"""Shared seeds below which no exact sign-flip test can reach p = 0.05."""
LARGEST_FLIP = 20
"""Shared seeds up to which every flip of signs is counted."""


@dataclass(frozen=True)
class Method:
    """How the study is tested. Raises AblateError for names that are not known and for a pair that does not go."""

    test: Test = "paired"
    noise: Noise = "own"
    correct: Correction = "holm"

    def __post_init__(self) -> None:
        for word, known in CHOICES.items():
            if (value := getattr(self, word)) not in known:
                raise AblateError(f"{word} is one of {', '.join(known)}; got {value!r}")
        if self.noise == "pooled" and self.test != "paired":
            raise AblateError(f"pooled noise needs the paired test, not {self.test}")

    def __str__(self) -> str:
        return ", ".join(f"{word} {value}" for word, value in asdict(self).items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return asdict(self)

    def changes(self, declared: Method) -> dict[str, tuple[str, str]]:
        """Return choice -> (what was declared, what it is here), where they differ."""
        before, here = asdict(declared), asdict(self)
        return {word: (before[word], here[word]) for word in here if before[word] != here[word]}
