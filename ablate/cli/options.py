"""The arguments and options that several commands share, written once so that they mean the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ablate.api.choices import Launchers, Until


def whole(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` on: digits and nothing else, neither ``3.0`` nor ``1_0``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", str(text)) or int(text) < least:
            raise typer.BadParameter(f"{text!r} is not a whole number of at least {least}, written in digits")
        return int(text)

    return parse


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="Study file.", show_default=False, exists=False)]
StudyName = Annotated[
    str | None,
    typer.Argument(metavar="STUDY", help="Name of a study, or its file. Default: all.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the file or a factor of its baseline; repeatable."
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", parser=whole(1), help="Seeds per arm, instead of what the file says."),
]
SeedRange = Annotated[
    str | None,
    typer.Option(
        "--seed-range",
        metavar="FIRST..LAST",
        help="Only these seeds, ends included (3..5); other machines run the rest, and `ablate import` joins them.",
    ),
]
AddSeeds = Annotated[
    int | None,
    typer.Option(
        "--add-seeds",
        metavar="N",
        parser=whole(1),
        help="Add N seeds per arm to the declared number, or to what is stored if that is more.",
    ),
]
UntilDecided = Annotated[
    Until | None,
    typer.Option(
        "--until",
        help="Run each declared interim analysis in turn; arms get more seeds only while these may decide them.",
    ),
]
Confirm = Annotated[
    bool, typer.Option("--confirm", help="Run the best arm and the baseline on fresh seeds, and test once.")
]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arms", metavar="GLOB", help="Only arms that match, and the baseline; repeatable."),
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder for everything that is kept.")]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="Optuna storage instead of DIR/ablate.db, for example sqlite:///my.db."
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the study instead of the file's stem.")
]
Gpus = Annotated[
    str | None,
    typer.Option(
        "--gpus",
        metavar="0,1",
        help="GPU indices or UUIDs (as in nvidia-smi), or 'none' for CPU. Default: all.",
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots",
        metavar="N",
        parser=whole(1),
        help="How many trials run at a time: CPU slots, the most per GPU, or jobs on a cluster.",
    ),
]
Launch = Annotated[
    Launchers,
    typer.Option(
        "--launcher",
        metavar="PLACE",
        help="Where workers run: local, slurm (jobs), srun (steps of this allocation) or ray (tasks).",
    ),
]
Job = Annotated[
    list[str] | None,
    typer.Option(
        "--job",
        metavar="KEY=VALUE",
        help="What each job requests: cpus, gpus, mem, time, setup, or an sbatch option; repeatable.",
    ),
]
Listening = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Address on this machine that such workers connect to."),
]
Fuse = Annotated[
    str,
    typer.Option(
        "--fuse",
        metavar="auto|off|K",
        help="Train K trials of one shape as one program; auto: where measured to be faster.",
    ),
]
Compile = Annotated[
    str,
    typer.Option(
        "--compile",
        metavar="auto|off|on",
        help="Compile networks (torch.compile); auto: where measured to be faster. Experimental on GPUs.",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="TRACKER",
        help="Report trials as they run to mlflow[:URI], wandb[:PROJECT] or tensorboard[:DIR]; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, one object per line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print one line per event: no redrawing, no colour.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Use no colour; the same as NO_COLOR=1.")]
