"""Sentences that users read, in one file: tests elsewhere assert facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

SENTENCES: Mapping[str, str] = yaml.safe_load(
    (Path(__file__).parent / "golden" / "sentences.yaml").read_text(encoding="utf-8")
)
"""A few words of the test -> what is expected there, word by word."""
