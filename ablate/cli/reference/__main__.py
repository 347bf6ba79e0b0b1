"""Write every generated page again: ``python -m ablate.cli.reference docs``."""

from __future__ import annotations

import sys
from pathlib import Path

from ablate.cli.reference.pages import PAGES

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(page(), encoding="utf-8")
