"""More seeds only where they are needed: `--add-seeds` and `--until decided`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.api.choices import Until
from ablate.api.launch_options import LaunchOptions
from ablate.api.param_kinds import param_kinds
from ablate.api.request import Request, prepare
from ablate.errors import ExitCode
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import ResultsPaths
from ablate.storage.read import read_study
from ablate.storage.store import Store
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

QUICK = ("--gpus", "none", "--slots", "1", "--no-figures")
LOOKS = "seeds: {looks: [2, 3, 4], boundaries: split, futility: 0}"


@pytest.fixture
def looking(project: Path) -> Path:
    """The study with looks; a score whose noise hides lr=0.2 and leaves no doubt about the arm that diverges."""
    text = (project / "steps.yaml").read_text(encoding="utf-8")
    (project / "steps.yaml").write_text(text.replace("seeds: 3", LOOKS), encoding="utf-8")
    core = (project / "toycore.py").read_text(encoding="utf-8")
    same = core.replace(
        "luck = (recipe.seed * 37 + ", "luck = (lr == 0.2) * 9 * (-1) ** recipe.seed + (recipe.seed * int(lr * 100) + "
    )
    assert same != core
    (project / "toycore.py").write_text(same.replace("% 11 / 200", "% 11 / 20000"), encoding="utf-8")
    return project


def seeds_of(project: Path, study: str = "steps") -> dict[str, int]:
    """Per arm the number of seeds with a result, each of which must have been run once."""
    _, rows = read_study(ResultsPaths(project / "results").default_storage, study)
    assert max(Counter((row.arm, row.seed) for row in rows).values()) == 1
    return Counter(row.arm for row in rows if row.outcome is not None and row.outcome.is_result)


def store(scores: dict[str, list[float]], method: dict[str, str] | None = None) -> None:
    """Store measured scores, by arm and seed; `method` is how an older run stored its own."""
    prepared = prepare(Request(Path("steps.yaml")))
    study, place = prepared.study, prepared.place
    place.results.folder.mkdir(exist_ok=True)
    arms = {arm.name: arm for arm in study.arms}
    with Store.open(
        place.url,
        study.name,
        kinds=param_kinds(prepared.core),
        primary=study.primary.name,
        direction=study.primary.direction,
        attributes={"ablate.plan": json.dumps(study.to_dict() | ({} if method is None else {"method": method}))},
    ) as opened:
        for name, values in scores.items():
            for seed, score in enumerate(values):
                settings = arms[name].settings
                number = opened.start(name, seed, {factor: settings[factor] for factor in study.factors}, {})
                digest = study.recipe(arms[name], seed).digest
                opened.finish(number, Outcome(OutcomeKind.MEASURED, digest, metrics={"score": score}, seconds=1.0), {})


def test_only_undecided_arms_get_more_seeds_and_the_same_command_ends(ablate: Ablate, looking: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK, "--until", "decided")
    assert said.code == ExitCode.DONE
    assert seeds_of(looking) == {"baseline": 4, "lr=0.2": 4, "lr=0.5": 2, "far too fast": 2}
    rounds = [line for line in said.err.splitlines() if line.startswith("steps: look at")]
    assert rounds == [
        SENTENCES["only undecided arms get"],
        SENTENCES["only undecided arms get 2"],
        SENTENCES["only undecided arms get 3"],
    ]
    assert said.out.count("Of 3 arms compared") == 1
    again = ablate("run", "steps.yaml", *QUICK, "--until", "decided")
    assert again.err.startswith(SENTENCES["only undecided arms get 4"])


def test_an_arm_that_more_seeds_would_hardly_decide_gets_none(ablate: Ablate, looking: Path) -> None:
    """lr=0.2 swings by nine from seed to seed: what is left of the looks could not tell it from the baseline."""
    text = (looking / "steps.yaml").read_text(encoding="utf-8").replace(LOOKS, "seeds: {looks: [3, 4, 8]}")
    (looking / "steps.yaml").write_text(text, encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK, "--until", "decided")
    assert said.code == ExitCode.DONE
    assert seeds_of(looking)["lr=0.2"] == 4
    assert "stopped, more seeds would hardly help" in " ".join(said.out.split())
    again = ablate("run", "steps.yaml", *QUICK, "--until", "decided")
    assert "nothing to run" in again.err


def test_a_study_run_under_older_rules_keeps_them(looking: Path) -> None:
    """Its file says nothing about boundaries and stopping; what was stored when it ran knew neither."""
    text = (looking / "steps.yaml").read_text(encoding="utf-8").replace(LOOKS, "seeds: {looks: [3, 4, 8]}")
    (looking / "steps.yaml").write_text(text, encoding="utf-8")
    scores = {
        "baseline": [20.0, 20.01, 20.02],
        "lr=0.2": [29.0, 11.0, 25.0],
        "lr=0.5": [20.5, 20.51001, 20.53],
        "far too fast": [10.0, 10.01001, 10.03],
    }
    store(scores, method={"test": "paired", "noise": "own", "correct": "holm"})
    prepared = prepare(Request(Path("steps.yaml"), until=Until.DECIDED))
    assert (prepared.study.method.boundaries, prepared.study.method.futility) == ("split", 0.0)
    assert prepared.round is not None
    assert (prepared.round.look, prepared.round.arms) == (4, ("lr=0.2",))


def test_rounds_in_json(ablate: Ablate, looking: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK, "--until", "decided", "--json", "--arms", "lr=0.2")
    found = [json.loads(line) for line in said.out.splitlines()]
    rounds = [(one["look"], one["arms"], one["trials"], one["to_run"]) for one in found if one["event"] == "round"]
    assert rounds == [(2, ["lr=0.2"], 4, 4), (3, ["lr=0.2"], 6, 2), (4, ["lr=0.2"], 8, 2)]
    assert seeds_of(looking) == {"baseline": 4, "lr=0.2": 4}


def test_what_is_stored_alone_says_where_to_go_on(ablate: Ablate, looking: Path) -> None:
    """A run that was killed within its second look goes on with this look, and with the open arm alone."""
    store(
        {
            "baseline": [20.0, 20.01, 20.02],
            "lr=0.2": [29.0, 11.0],
            "lr=0.5": [20.5, 20.51001],
            "far too fast": [10.0, 10.01001],
        }
    )
    prepared = prepare(Request(Path("steps.yaml"), until=Until.DECIDED))
    assert prepared.round is not None
    assert (prepared.round.look, prepared.round.arms) == (3, ("lr=0.2",))
    assert [one.key for one in prepared.plan.todo] == [("lr=0.2", 2)]
    said = ablate("run", "steps.yaml", "--until", "decided", "--dry-run")
    assert said.err.startswith(SENTENCES["what stored alone says"])
    assert said.out.splitlines()[-1] == "run it:  ablate run steps.yaml --until decided"
    assert seeds_of(looking)["lr=0.2"] == 2


def test_an_arm_that_got_more_seeds_is_judged_with_these(looking: Path) -> None:
    """lr=0.5 was decided at 2 seeds; with the third, stored by another run, it is open again, as the report says."""
    store(
        {
            "baseline": [20.0, 20.01, 20.02, 20.03],
            "lr=0.2": [29.0, 11.0, 25.0, 16.0],
            "lr=0.5": [20.5, 20.51001, 19.0],
            "far too fast": [10.0, 10.01001],
        }
    )
    prepared = prepare(Request(Path("steps.yaml"), until=Until.DECIDED))
    assert prepared.round is not None
    assert [one.key for one in prepared.plan.todo] == [("lr=0.5", 3)]


def test_a_trial_without_a_result_ends_the_rounds(ablate: Ablate, looking: Path) -> None:
    core = (looking / "toycore.py").read_text(encoding="utf-8")
    raising = "            if lr == 0.5:\n                raise ValueError('no luck')\n            if lr > 5:"
    (looking / "toycore.py").write_text(core.replace("            if lr > 5:", raising), encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK, "--until", "decided")
    assert said.code == ExitCode.INCOMPLETE
    assert said.err.splitlines()[-1] == SENTENCES["trial without result ends"]
    assert "look at 3 seeds: baseline" not in said.err


def test_a_diverged_baseline_gets_no_more_seeds(ablate: Ablate, looking: Path) -> None:
    text = (looking / "steps.yaml").read_text(encoding="utf-8").replace("baseline: {lr: 0.1}", "baseline: {lr: 8.0}")
    (looking / "steps.yaml").write_text(text, encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK, "--until", "decided", "--quiet")
    assert said.code == ExitCode.NOTHING_COMPARABLE
    assert set(seeds_of(looking).values()) == {2}


@pytest.mark.usefixtures("project")
def test_without_looks_the_error_says_how_to_declare_them(ablate: Ablate) -> None:
    said = ablate("run", "steps.yaml", "--until", "decided")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith(SENTENCES["without looks error says"])
    assert "`seeds: {looks: [3, 5, 10]}`" in said.err


@pytest.mark.usefixtures("looking")
@pytest.mark.parametrize("option", ["--seeds", "--add-seeds"])
def test_until_takes_no_number(ablate: Ablate, option: str) -> None:
    said = ablate("run", "steps.yaml", "--until", "decided", option, "3")
    assert said.code == ExitCode.USAGE
    assert "takes no number of seeds" in said.err


def test_added_seeds_count_from_what_the_chosen_arms_have(ablate: Ablate, finished: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK, "--arms", "lr=0.2", "--add-seeds", "1", "--no-report")
    assert said.code == ExitCode.DONE
    assert seeds_of(finished) == {"baseline": 4, "lr=0.2": 4, "lr=0.5": 3, "far too fast": 3}
    assert ablate("run", "steps.yaml", *QUICK, "--arms", "lr=0.2", "--add-seeds", "1", "--no-report").code == 0
    assert seeds_of(finished)["lr=0.2"] == 5
    assert ablate("run", "steps.yaml", *QUICK, "--add-seeds", "1", "--no-report").code == 0
    assert seeds_of(finished) == {"baseline": 5, "lr=0.2": 5, "lr=0.5": 4, "far too fast": 4}


@pytest.mark.usefixtures("project")
def test_added_seeds_count_from_the_declared_number_when_nothing_is_stored() -> None:
    prepared = prepare(Request(Path("steps.yaml"), add_seeds=2))
    assert (prepared.plan.seeds, prepared.study.looks) == (5, (5,))
    assert prepared.request.command() == "ablate run steps.yaml --seeds 3 --add-seeds 2"


@pytest.mark.usefixtures("project")
def test_the_same_command_takes_up_added_seeds_that_were_not_finished() -> None:
    """Stopped after the fourth of five seeds, `--add-seeds 2` still means five; once these are done it means seven."""

    def store_to(count: int) -> None:
        store({arm: [20.0] * count for arm in ("baseline", "lr=0.2", "lr=0.5", "far too fast")})

    store_to(4)
    prepared = prepare(Request(Path("steps.yaml")))
    kinds = param_kinds(prepared.core)
    with Store.open(
        prepared.place.url, "steps", kinds=kinds, primary="score", direction="max", attributes={}
    ) as opened:
        opened.set_attributes({"ablate.command": "ablate run steps.yaml --seeds 3 --add-seeds 2 --slots 2"})
    same = Request(Path("steps.yaml"), add_seeds=2, where=LaunchOptions(gpus="none"))
    assert prepare(same).plan.seeds == 5
    assert len(prepare(same).plan.todo) == 4
    assert prepare(Request(Path("steps.yaml"), add_seeds=3)).plan.seeds == 7
    store_to(5)
    assert prepare(same).plan.seeds == 7


@pytest.mark.usefixtures("project")
def test_pages_suggest_commands_with_the_overrides(ablate: Ablate) -> None:
    ablate("run", "steps.yaml", "--set", "steps=5", "--name", "short", "--add-seeds", "1", "--seeds", "1", *QUICK)
    for page in ("report.md", "report.html"):
        text = Path("results/short", page).read_text(encoding="utf-8")
        assert SENTENCES["pages suggest commands overrides"] in text
        assert "--add-seeds" not in text
