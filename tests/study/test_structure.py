"""The structure of designs: components, paths, the place of every arm, and one arm that several designs state."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest

from ablate.errors import Problem
from ablate.study.spec import Study
from tests.sentences import SENTENCES

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]

PARTS = "{average: {ema: false}, warm-up: {warmup: false}, prior: {method: ddpm}}"
BASE = "baseline: {method: dip+ddpm}\n"


def levels(study: Study) -> dict[str, dict[str, object]]:
    """Arm -> what it changes, without the baseline."""
    return {arm.name: dict(arm.levels) for arm in study.arms[1:]}


def test_only_one_keeps_one_component_at_a_time(load: Load) -> None:
    study = load(f"{BASE}only-one: {PARTS}")
    assert levels(study) == {
        "only average": {"warmup": False, "method": "ddpm"},
        "only warm-up": {"ema": False, "method": "ddpm"},
        "only prior": {"ema": False, "warmup": False},
    }
    (design,) = study.designs
    assert design.factors == ("average", "warm-up", "prior")
    assert design.cells["only warm-up"] == {"average": False, "warm-up": True, "prior": False}


def test_leave_all_out_is_one_arm(load: Load) -> None:
    study = load(f"{BASE}leave-all-out: {PARTS}")
    assert levels(study) == {"without all": {"ema": False, "warmup": False, "method": "ddpm"}}
    assert study.designs[0].cells["baseline"] == {"average": True, "warm-up": True, "prior": True}


def test_components_written_once_serve_two_designs(load: Load) -> None:
    """A YAML alias repeats them; what both designs state is one arm."""
    study = load(f"{BASE}leave-one-out: &parts {PARTS}\nleave-all-out: *parts\nonly-one: *parts")
    assert list(levels(study))[3:] == ["without all", "only average", "only warm-up", "only prior"]
    assert [list(design.cells)[-1] for design in study.designs] == ["without all", "without all", "only prior"]
    assert study.warnings == ()


def test_two_components_are_each_others_complement(load: Load) -> None:
    """Only one of two is without the other: one experiment, under the name it got first."""
    study = load(f"{BASE}leave-one-out: &parts {{a: {{ema: false}}, b: {{warmup: false}}}}\nonly-one: *parts")
    assert list(levels(study)) == ["without a", "without b", "without all"]
    assert list(study.designs[1].cells) == ["baseline", "without b", "without a"]


def test_a_single_component_cannot_be_kept_alone(refuse: Refuse) -> None:
    (problem,) = refuse(f"{BASE}only-one: {{average: {{ema: false}}}}")
    assert problem.message == "'only-one' needs at least two components"


def test_components_that_share_a_factor_cannot_be_kept_alone(refuse: Refuse) -> None:
    problems = refuse(f"{BASE}only-one: {{a: {{ema: false}}, b: {{ema: false, warmup: false}}}}")
    assert problems[0].message == SENTENCES["components share factor cannot"]


def test_a_path_makes_one_change_after_the_other(load: Load) -> None:
    study = load("baseline: {}\npath: {noise_schedule: cosine, longer: {epochs: 20, batch_size: 128}, lr: 0.01}")
    assert levels(study) == {
        "noise_schedule=cosine": {"noise_schedule": "cosine"},
        "noise_schedule=cosine + longer": {"noise_schedule": "cosine", "epochs": 20, "batch_size": 128},
        "noise_schedule=cosine + longer + lr=0.01": {
            "noise_schedule": "cosine",
            "epochs": 20,
            "batch_size": 128,
            "lr": 0.01,
        },
    }
    (design,) = study.designs
    assert design.factors == ("noise_schedule=cosine", "longer", "lr=0.01")
    made = [[cell[change] for change in design.factors] for cell in design.cells.values()]
    assert made == [[False] * 3, [True, False, False], [True, True, False], [True] * 3]
    assert next(iter(design.cells)) == "baseline"


def test_a_path_in_another_order_shares_the_target(load: Load) -> None:
    """Nothing that was run for one order is asked for again by the other, where they meet."""
    one = load("baseline: {}\npath: {lr: 0.01, ema: off, epochs: 20}")
    other = load("baseline: {}\npath: {lr: 0.01, epochs: 20, ema: off}")
    assert one.arms[1] == other.arms[1]
    digests = [study.recipe(study.arms[-1], 0).digest for study in (one, other)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("section", "message", "column"),
    [
        ("{lr: 0.01}", "'path' needs at least two changes", 1),
        ("{lr: 0.01, ema: on}", "ema=true is the baseline's own level: no change", 23),
        ("{lr: 0.01, a: {lr: 0.1}}", "lr is changed twice on the path", 26),
        ("{lr: [0.01, 0.1], ema: off}", "lr: expected one level, got a list", 12),
        ("{lr: 0.01, em: off}", "unknown factor 'em'", 18),
        ("{lr: fast, ema: off}", "lr: expected a number, got 'fast'", 12),
        ("{lr: 0.01, a: {}}", "'a' is empty", 21),
        ("[lr]", "'path': expected a mapping, got a list", 7),
    ],
)
def test_what_is_wrong_with_a_path_has_its_place(section: str, message: str, column: int, refuse: Refuse) -> None:
    problems = refuse(f"baseline: {{}}\npath: {section}")
    assert problems[0].message == message
    assert (problems[0].line, problems[0].column) == (2, column)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_factorial_says_where_each_arm_stands(k: int, load: Load) -> None:
    """2^k cells, the baseline at the low corner, each corner once: all that main effects and interactions need."""
    high = dict(itertools.islice({"lr": 0.1, "ema": False, "epochs": 20}.items(), k))
    study = load(f"baseline: {{lr: 0.01}}\nfactorial: {json.dumps(high)}")
    (design,) = study.designs
    assert design.kind == "factorial"
    assert design.factors == tuple(high)
    low = design.cells["baseline"]
    corners = {tuple(cell[name] != low[name] for name in high) for cell in design.cells.values()}
    assert corners == set(itertools.product([False, True], repeat=k))
    for arm in study.arms:
        assert {name: arm.settings[name] for name in high} == design.cells[arm.name]


def test_a_grid_without_the_baselines_combination_has_no_place_for_it(load: Load) -> None:
    (design,) = load("baseline: {}\ngrid: {lr: [0.01, 0.1], epochs: [20, 30]}").designs
    assert "baseline" not in design.cells
    assert design.cells["lr=0.1, epochs=30"] == {"lr": 0.1, "epochs": 30}


def test_designs_survive_being_stored(load: Load) -> None:
    """The order of cells and factors means something, so it must survive JSON with sorted keys."""
    study = load(f"{BASE}path: {{lr: 0.01, ema: off}}\nfactorial: {{lr: 0.1, epochs: 3}}\nleave-one-out: {PARTS}")
    stored = Study.from_dict(json.loads(json.dumps(study.to_dict(), sort_keys=True)))
    assert stored.designs == study.designs
    assert [list(design.cells) for design in stored.designs] == [list(design.cells) for design in study.designs]
    assert [design.factors for design in stored.designs] == [design.factors for design in study.designs]
    assert stored.design == "path+factorial+leave-one-out"


def test_an_arm_of_two_designs_is_run_and_tested_once(load: Load) -> None:
    """Under its first name, and as the one-factor arm that it is."""
    study = load(
        "baseline: {}\nfactorial: {lr: 0.01, epochs: 20}\nvary: {lr: [0.01, 0.1]}\npath: {epochs: 20, lr: 0.01}"
    )
    assert list(levels(study)) == ["lr=0.001, epochs=20", "lr=0.01, epochs=10", "lr=0.01, epochs=20", "lr=0.1"]
    _, vary, path = study.designs
    assert list(vary.cells) == ["lr=0.01, epochs=10", "lr=0.1"]
    assert list(path.cells) == ["baseline", "lr=0.001, epochs=20", "lr=0.01, epochs=20"]
    assert {arm.name: arm.factor for arm in study.arms if arm.factor} == {"lr=0.01, epochs=10": "lr", "lr=0.1": "lr"}
    assert study.warnings == ()


def test_a_named_arm_that_repeats_another_is_kept_with_a_warning(load: Load) -> None:
    study = load("baseline: {}\nvary: {lr: [0.01]}\narms: {fast: {lr: 0.01}}")
    assert list(levels(study)) == ["lr=0.01", "fast"]
    (warning,) = study.warnings
    assert warning.message == SENTENCES["named arm repeats another"]
    assert (warning.line, warning.column, warning.severity) == (3, 8, "warning")
    assert warning.note is not None
    assert warning.note.endswith("study.yaml:2:13")


def test_switching_off_what_is_off_is_refused(refuse: Refuse) -> None:
    """An arm that changes nothing would be compared with itself."""
    (problem,) = refuse("baseline: {ema: off}\nleave-one-out: {average: {ema: off}}")
    assert problem.message == SENTENCES["switching off what off"]
