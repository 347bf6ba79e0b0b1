"""The arguments and options that several commands share, written once so that they mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.api.choices import Launchers, Until

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="Study file.", show_default=False, exists=False)]
StudyName = Annotated[
    str | None,
    typer.Argument(metavar="STUDY", help="A study's name, or its file; all when left out.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the file or a factor of its baseline; repeatable."
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", min=1, help="Seeds per arm (a count) instead of what the file says."),
]
AddSeeds = Annotated[
    int | None,
    typer.Option(
        "--add-seeds",
        metavar="N",
        min=1,
        help="N more seeds per arm (a count) than --seeds, or than are declared or stored.",
    ),
]
UntilDecided = Annotated[
    Until | None,
    typer.Option("--until", help="Go from look to look; only arms that are still undecided get more seeds."),
]
Confirm = Annotated[
    bool, typer.Option("--confirm", help="Run the best arm and the baseline on fresh seeds, and test once.")
]
Arms = Annotated[
    list[str] | None,
    typer.Option("--arms", metavar="GLOB", help="Only arms that match, and the baseline; repeatable."),
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder that holds everything that is kept.")]
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
    typer.Option("--gpus", metavar="0,1", help="GPUs to use, as nvidia-smi counts them, or none; all when left out."),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots",
        metavar="N",
        min=1,
        help="Trials at the same time (a count): CPU slots, at most so many per GPU, or jobs of a cluster.",
    ),
]
Launch = Annotated[
    Launchers,
    typer.Option(
        "--launcher",
        metavar="PLACE",
        help="Where workers run: local, jobs of slurm, steps (srun) of the allocation this is in, or tasks of ray.",
    ),
]
Job = Annotated[
    list[str] | None,
    typer.Option(
        "--job",
        metavar="KEY=VALUE",
        help="What the job of a worker gets: cpus, gpus, mem, time, setup, or an option of sbatch; repeatable.",
    ),
]
Listening = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Address of this machine to which such workers connect."),
]
Fuse = Annotated[
    str,
    typer.Option(
        "--fuse",
        metavar="auto|off|K",
        help="Trainings of one shape in one program of K lanes; auto: where it is measured to pay.",
    ),
]
Compile = Annotated[
    str,
    typer.Option(
        "--compile",
        metavar="auto|off|on",
        help="Compile the networks of trainings (torch.compile); auto: where it is measured to pay.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, one object per line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print one line per event: no redrawing, no colour.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Use no colour; the same as NO_COLOR=1.")]
