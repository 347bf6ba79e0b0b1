"""MLflow over HTTP, with a server that answers what a run asks for: its address is not printed, and it may go away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from ablate.tracking.background import BackgroundTracker
from ablate.tracking.mlflow_tracker import open_mlflow
from ablate.tracking.tracker import TrackedStudy
from tests.tracking.conftest import finished, no_wait, point, started

pytestmark = [
    pytest.mark.usefixtures("no_usage_reports"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Server(ThreadingHTTPServer):
    """As much of MLflow's REST interface as a tracker needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.away = False
        self.ended = threading.Event()
        """Set when the run of a trial has ended."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, words: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("experiments/get-by-name"):
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}
        if path.endswith("experiments/create"):
            return 200, {"experiment_id": "1"}
        if path.endswith("runs/create"):
            run = {"id": str(len(self.runs)), "name": words["run_name"], "metrics": [], "status": "RUNNING"}
            self.runs[run["id"]] = run
            return 200, {"run": self.shown(run)}
        run = self.runs[words["run_id"]]
        run["metrics"] += words.get("metrics", [])
        run["status"] = words.get("status", run["status"])
        if run["status"] == "FINISHED" and " s" in run["name"]:
            self.ended.set()
        return 200, {"run": self.shown(run), "run_info": self.shown(run)["info"]}

    def shown(self, run: dict[str, Any]) -> dict[str, Any]:
        known = {"run_id": run["id"], "run_uuid": run["id"], "run_name": run["name"], "experiment_id": "1"}
        return {"info": {**known, "status": run["status"], "lifecycle_stage": "active"}, "data": {}}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        query = parse_qs(urlparse(self.path).query)
        self.reply({name: values[0] for name, values in query.items()})

    def do_POST(self) -> None:
        self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    do_PATCH = do_POST

    def reply(self, words: dict[str, Any]) -> None:
        path = urlparse(self.path).path
        code, answer = (200, {}) if path == "/health" else self.server.answer(path, words)
        if self.server.away and path != "/health":
            code, answer = 500, {"error_code": "INTERNAL_ERROR", "message": "out of order"}
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_server_gets_the_runs_and_its_password_is_never_printed(
    study: TrackedStudy, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """MLflow itself prints the address of a run that has ended, which is the server's URL as it was given."""
    tracker = BackgroundTracker(open_mlflow(f"http://me:s3cret@{server.address}", study), study)
    tracker.take(started("baseline", 0))
    tracker.take(point("baseline", 0, 1, score=1.0))
    tracker.take(finished("baseline", 0, score=2.0))
    tracked = tracker.close(no_wait)
    assert tracked.warning == ""
    assert tracked.place == f"http://me@{server.address}"
    arm, run = server.runs.values()
    assert {one["key"]: one["value"] for one in run["metrics"]} == {"curve/score": 1.0, "score": 2.0, "seconds": 2.0}
    assert (arm["name"], run["name"], run["status"]) == ("baseline", "baseline s0", "FINISHED")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert "s3cret" not in study.paths.tracked.read_text(encoding="utf-8")


def test_a_server_that_goes_away_is_one_warning(study: TrackedStudy, server: Server) -> None:
    tracker = BackgroundTracker(open_mlflow(f"http://me:s3cret@{server.address}", study), study)
    tracker.take(finished("baseline", 0, score=2.0))
    assert server.ended.wait(60)
    server.away = True
    tracker.take(started("baseline", 1))
    tracker.take(finished("baseline", 1, score=2.0))
    tracked = tracker.close(no_wait)
    assert (tracked.trials, tracked.incomplete) == (2, 1)
    assert "500 error responses" in tracked.warning
    assert "s3cret" not in tracked.warning
