"""optuna-dashboard and `status --watch` beside a run: they are answered, and it gives the numbers it gives alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.storage.read import read_study

pytestmark = pytest.mark.slow

URL = "sqlite:///results/ablate.db"
ABLATE = (sys.executable, "-m", "ablate")
RUN = (*ABLATE, "run", "steps.yaml", "--slots", "2", "--seeds", "12", "--no-report", "--quiet")


@pytest.fixture
def dashboard(project: Path) -> Iterator[str]:
    """The dashboard's server, answering, on a study whose first seed is done; gives its address."""
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    assert subprocess.run([*RUN, "--seeds", "1"], check=False).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "ignore", "-c", code, URL, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--artifact-dir", "results/artifacts"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        address = f"http://127.0.0.1:{port}"
        while ask(address, "/api/studies") is None:
            assert server.poll() is None, "the dashboard did not start"
        yield address
        server.kill()


def ask(address: str, path: str) -> Any:
    """What the dashboard answers; None while it is still starting."""
    try:
        with urllib.request.urlopen(address + path, timeout=30) as answer:
            return json.loads(answer.read())
    except (urllib.error.URLError, ConnectionError):
        return None


def scores() -> dict[tuple[str, int], float | None]:
    return {(row.arm, row.seed): row.metrics.get("score") for row in read_study(URL, "steps")[1]}


def test_a_run_with_the_dashboard_open_gives_the_same_numbers(project: Path, dashboard: str) -> None:
    # The dashboard keeps what it read for some seconds, so that it need not have seen the study grow.
    seen = []
    with subprocess.Popen(RUN) as run:
        while run.poll() is None:
            seen.append(len(ask(dashboard, "/api/studies/1?after=0")["trials"]))
    assert run.returncode == 0
    assert len(seen) > 10
    assert min(seen) >= 4
    disturbed = scores()
    (project / "results").rename(project / "disturbed")
    assert subprocess.run(RUN, check=False).returncode == 0
    assert scores() == disturbed
    assert len(disturbed) == 48


def test_watching_from_another_process_ends_with_the_study(project: Path) -> None:
    assert subprocess.run([*RUN, "--seeds", "1"], check=False).returncode == 0
    watch = (*ABLATE, "status", "steps", "--watch", "--every", "0.2")
    with subprocess.Popen(RUN) as run:
        watched = subprocess.run(watch, capture_output=True, text=True, check=True)
        assert run.wait() == 0
    assert watched.stdout.rstrip().endswith("next:  ablate report steps")
