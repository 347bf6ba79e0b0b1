"""``ablate data``: which data sets and weights there are, and the explicit download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.options import Json, NoColor, Quiet
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.errors import DataError

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List and fetch data sets. A run never downloads or replaces data by itself.",
)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Folder of downloaded data instead of $ABLATE_DATA or data/."),
]


@dataclass(frozen=True)
class DataSet:
    """A data set as it is here: complete and verified, or why not."""

    name: str
    ready: bool
    images: str
    """How many images per part, for a reader."""
    digest: str
    note: str


def data_sets(folder: Path | None = None) -> Iterator[DataSet]:
    """Try to load every data set that is known (verifies it; imports torch)."""
    from ablate.core.data import DATA_SETS, load

    for name in DATA_SETS:
        try:
            found = load(name, folder=folder)
        except DataError as error:
            yield DataSet(name, False, "", "", error.hint or error.message)
        else:
            yield DataSet(
                name, True, f"{len(found.train)} train, {len(found.test)} test", found.digest[:12], "verified"
            )
    yield _inception(folder)


def _inception(folder: Path | None) -> DataSet:
    """The weights that the metric fid needs."""
    from ablate.core.shared.requirements import FID_FILE, FID_SHA256, fid_weights, file_sha256

    path = fid_weights() if folder is None else folder / FID_FILE
    if not path.is_file():
        return DataSet("inception", False, "", "", "ablate data fetch inception")
    if file_sha256(path) != FID_SHA256:
        return DataSet("inception", False, "", "", f"{path} is another file")
    return DataSet("inception", True, "weights for fid", FID_SHA256[:12], "verified")


@app.command("list")
def list_data(folder: Folder = None, json: Json = False, no_color: NoColor = False) -> None:
    """List the data sets and verify those that are here. Takes a few seconds.

    \b
    Example:
      ablate data list
    """
    screen = Screen.make(json=json, no_color=no_color)
    found = list(data_sets(folder))
    if json:
        for one in found:
            screen.emit("data", asdict(one))
        return
    rows = [(one.name, "ready" if one.ready else "missing", one.images, one.digest, one.note) for one in found]
    for line in lay_out(
        ("name", "state", "images", "digest", "note"), rows, align="<<<<~", width=screen.out.width, indent=""
    ):
        screen.tell(line)


@app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Data set, or inception (for fid): `ablate data list`.")],
    folder: Folder = None,
    quiet: Quiet = False,
) -> None:
    """Download a data set and verify it. Does nothing when a verified copy is there.

    \b
    Example:
      ablate data fetch cifar10
    """
    from ablate.core.data import fetch

    screen = Screen.make(quiet=quiet)
    where = fetch(name, folder, screen.say)
    screen.out.print(str(where), soft_wrap=True)
