"""Slurm as far as ablate uses it, on this machine: sbatch, squeue, scancel and sinfo by the first argument.

State is a folder (FAKE_SLURM) with one folder per job. A file ``hold`` there keeps new jobs in the queue, for the
reason that it holds; ``down`` is a controller that is away, ``refuse`` one that takes no job; ``draining`` drains
node1.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("FAKE_SLURM", "/nowhere"))


def jobs() -> list[Path]:
    return sorted(path for path in ROOT.iterdir() if path.name.isdecimal())


def option(name: str) -> str:
    return next((word.partition("=")[2] for word in sys.argv[2:] if word.startswith(f"--{name}=")), "")


def state_of(job: Path) -> str:
    return (job / "state").read_text()


def set_state(job: Path, state: str) -> None:
    (job / "new").write_text(state)
    os.replace(job / "new", job / "state")


def sbatch() -> None:
    ask()
    if (ROOT / "refuse").exists():
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    job = ROOT / str(len(jobs()) + 1)
    job.mkdir()
    (job / "words").write_text("\n".join(sys.argv[2:]))
    (job / "script").write_text(sys.stdin.read())
    (job / "name").write_text(option("job-name"))
    (job / "output").write_text(option("output").replace("%%", "%"))
    set_state(job, "PENDING 0")
    if not (ROOT / "hold").exists():
        begin(job)
    print(f"{job.name};one")


def begin(job: Path) -> None:
    """Start the job, with somebody who waits for its end."""
    set_state(job, "RUNNING 0")
    with (job / "errors").open("wb") as errors:
        subprocess.Popen(
            [sys.executable, __file__, "watch", str(job)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )


def watch(job: Path) -> None:
    with Path((job / "output").read_text()).open("ab") as output:
        variables = {**os.environ, "SLURM_JOB_ID": job.name, "SLURMD_NODENAME": "node1"}
        process = subprocess.Popen(
            ["/bin/sh", job / "script"], stdout=output, stderr=output, start_new_session=True, env=variables
        )
    (job / "pid").write_text(str(process.pid))
    code = process.wait()
    if state_of(job).startswith("RUNNING"):
        set_state(job, f"{'COMPLETED' if code == 0 else 'FAILED'} {code << 8 if code >= 0 else -code}")


def ask() -> None:
    """Do as all of Slurm's programs do when the controller is away."""
    if (ROOT / "down").exists():
        sys.exit("error: Unable to contact slurm controller (connect failure)")


def squeue() -> None:
    ask()
    why = (ROOT / "hold").read_text() if (ROOT / "hold").exists() else ""
    for job in jobs():
        if (job / "name").read_text() == option("name"):
            state, code = state_of(job).split()
            reason = (why or "Resources") if state == "PENDING" else "None"
            print(f"{job.name:<24}{state:<24}{code:<24}{'node1' if state == 'RUNNING' else '':<48}{reason:<160}")


def scancel() -> None:
    ask()
    words = [word for word in sys.argv[2:] if word.isdecimal()]
    for job in jobs():
        named = option("name") and (job / "name").read_text() == option("name")
        if (named or job.name in words) and state_of(job).split()[0] in ("PENDING", "RUNNING"):
            set_state(job, "CANCELLED 0")
            if (job / "pid").exists():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int((job / "pid").read_text()), signal.SIGKILL)


def sinfo() -> None:
    if (ROOT / "down").exists() and "--version" not in sys.argv:
        sys.exit("slurm_load_partitions: Unable to contact slurm controller")
    if "--Node" in sys.argv:
        print(f"{'node1':<128}{'draining' if (ROOT / 'draining').exists() else 'mixed':<64}")
        return
    print("slurm-fake 1.0" if "--version" in sys.argv else "127.0.0.1")


def srun() -> None:
    words = sys.argv[2:]
    command = next(index for index, word in enumerate(words) if not word.startswith("--"))
    os.execvp(words[command], words[command:])


def install(folder: Path) -> None:
    """Write the programs into `folder`, which belongs at the front of PATH."""
    folder.mkdir()
    for program in ("sbatch", "squeue", "scancel", "sinfo", "srun"):
        path = folder / program
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -E {shlex.quote(__file__)} {program} "$@"\n')
        path.chmod(0o755)


if __name__ == "__main__":
    programs = {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "sinfo": sinfo, "srun": srun}
    helpers = {"begin": begin, "watch": watch}
    if sys.argv[1] in programs:
        programs[sys.argv[1]]()
    else:
        helpers[sys.argv[1]](Path(sys.argv[2]))
