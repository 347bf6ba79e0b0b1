"""The `search` and `tune` sections: what they state, where a mistake stands, and what follows from what was tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.core.shared import registry
from ablate.errors import Problem, StudyChangedError
from ablate.interface import Core
from ablate.outcome import OutcomeKind
from ablate.search import FIRST_SEED, Range, Tried
from ablate.study.changes import check_against_stored
from ablate.study.plan import search_plan
from ablate.study.reading import search_sections
from ablate.study.settle import stand
from ablate.study.spec import Study
from tests.sentences import SENTENCES

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]

BASE = "baseline: {method: dip, lr: 0.01, ema: off}\n"
RANGES = "factors: {lr: {from: 1e-4, to: 0.1, log: true}}"


def tried(search: str, number: int, lr: float, psnr: float | None, seed: int = FIRST_SEED) -> Tried:
    outcome = OutcomeKind.DIVERGED if psnr is None else OutcomeKind.MEASURED
    return Tried(search, number, seed, {"lr": lr}, outcome, {} if psnr is None else {"psnr": psnr})


def test_a_search_reads_ranges_of_every_kind(load: Load) -> None:
    study = load(
        BASE + "search:\n"
        "  factors:\n"
        "    lr: {from: 1e-4, to: 0.1, log: true}\n"
        "    epochs: {from: 10, to: 50, step: 20}\n"
        "    noise_schedule: [linear, cosine]\n"
        "    warmup: [on, off]\n"
        "    dip_lr: {from: 0.001, to: 0.1, when: {noise_schedule: cosine}}\n"
        "    channels: {levels: [8, 32], when: {warmup: on}}\n"
        "  sampler: random\n  trials: 7\n  pruner: asha\n"
    )
    (search,) = study.searches
    assert search.ranges == (
        Range("lr", 1e-4, 0.1, log=True),
        Range("epochs", 10, 50, whole=True, step=20),
        Range("noise_schedule", choices=("linear", "cosine")),
        Range("warmup", choices=(True, False)),
        Range("dip_lr", 0.001, 0.1, when={"noise_schedule": ("cosine",)}),
        Range("channels", choices=(8, 32), when={"warmup": (True,)}),
    )
    assert (search.sampler, search.trials, search.pruner, search.seeds) == ("random", 7, "asha", 1)
    assert search.objectives == (("psnr", "max"),)
    assert search.start == {"method": "dip", "lr": 0.01, "ema": False}
    assert search.arm == "best of search"
    assert {"lr", "epochs", "noise_schedule", "warmup", "dip_lr", "channels"} <= set(study.factors)
    assert Study.from_dict(json.loads(json.dumps(study.to_dict(), sort_keys=True))).searches == study.searches


def test_two_metrics_have_no_best_one_to_confirm(load: Load) -> None:
    study = load(
        f"{BASE}search: {{{RANGES}, sampler: nsga-ii, metrics: [psnr, train_seconds]}}\nmetrics: [psnr, train_seconds]"
    )
    (search,) = study.searches
    assert search.objectives == (("psnr", "max"), ("train_seconds", "min"))
    assert search.arm is None


def test_tuning_searches_for_every_arm_with_the_same_budget(load: Load) -> None:
    study = load(f"{BASE}vary: {{epochs: [20]}}\ntune: {{{RANGES}, trials: 5}}")
    assert [(search.name, search.trials, dict(search.start)) for search in study.searches] == [
        ("baseline", 5, {"method": "dip", "lr": 0.01, "ema": False}),
        ("epochs=20", 5, {"method": "dip", "lr": 0.01, "ema": False, "epochs": 20}),
    ]


@pytest.mark.parametrize(
    ("section", "message", "column"),
    [
        ("{trials: 3}", "'search' names no factors", 1),
        ("{factors: {lr: 0.1}}", "lr: expected a range or a list of levels, got '0.1'", 24),
        ("{factors: {lrr: [1, 2]}}", "unknown factor 'lrr'", 20),
        ("{factors: {lr: {from: 0.1}}}", "lr: a range needs 'from' and 'to'", 20),
        ("{factors: {lr: {from: 0.1, to: 0.01}}}", "lr: 'from' must be below 'to', got 0.1 and 0.01", 20),
        ("{factors: {lr: {from: 0.1, to: 7}}}", "lr: 7 is out of range: above 0, at most 1", 40),
        ("{factors: {lr: {from: 0.1, to: 0.5, lgo: true}}}", "unknown key of a range 'lgo'", 45),
        ("{factors: {lr: {from: 0.1, to: 0.5, step: 0.3}}}", "lr: 0.5 is not reached by whole steps of 0.3", 20),
        (
            "{factors: {lr: {from: 0.1, to: 0.5, log: true, step: 0.1}}}",
            "lr: a range on the log scale cannot have a step",
            20,
        ),
        ("{factors: {method: {from: a, to: b}}}", "method is not a number: list its levels", 20),
        ("{factors: {lr: [0.1]}}", "lr: a search needs at least two different levels", 20),
        ("{factors: {lr: [0.1, 1e-1]}}", "lr: a search needs at least two different levels", 20),
        (
            "{factors: {lr: {levels: [0.1, 0.2], when: {epochs: 5}}}}",
            "lr depends on epochs, which is not searched before it",
            52,
        ),
        (
            "{factors: {method: [dip, ddpm], lr: {levels: [0.1, 0.2], when: {method: off}}}}",
            "lr when: method is never off",
            81,
        ),
        ("{factors: {lr: [0.1, 0.2]}, sampler: tpx}", "search sampler: unknown name 'tpx'", 46),
        (
            "{factors: {lr: [0.1, 0.2]}, trials: 0}",
            "search trials: 0 is out of range: at least 1, at most 10000 trials",
            45,
        ),
        ("{factors: {lr: [0.1, 0.2]}, samplr: tpe}", "unknown key of 'search' 'samplr'", 37),
        ("{factors: {lr: [0.1, 0.2]}, metrics: [ssim]}", "search metrics: the primary metric comes first: psnr", 46),
        (
            "{factors: {lr: [0.1, 0.2]}, sampler: cma-es}",
            "sampler 'cma-es' needs at least two numeric ranges without 'when'",
            46,
        ),
        (
            "{factors: {lr: [0.1, 0.2]}, pruner: wilcoxon}",
            "pruner 'wilcoxon' compares seeds and needs at least 5 per candidate",
            45,
        ),
        (
            "{factors: {lr: [0.1, 0.2]}, pruner: asha, seeds: 2}",
            "pruner 'asha' uses one curve per candidate, not 2 seeds",
            45,
        ),
        (
            "{factors: {lr: [0.1, 0.2]}, metrics: [psnr, ssim], pruner: median}",
            "with two metrics nothing can be pruned: learning curves have only one",
            68,
        ),
        (
            "{factors: {lr: [0.1, 0.2]}, metrics: [psnr, ssim], confirm: yes}",
            "with two metrics there is no single best candidate to confirm",
            69,
        ),
        ("{}", "'search' is empty", 9),
        ("[lr]", "'search': expected a mapping, got a list", 9),
    ],
)
def test_what_is_wrong_with_a_search_has_its_place(section: str, message: str, column: int, refuse: Refuse) -> None:
    problems = refuse(f"{BASE}metrics: [psnr, ssim]\nsearch: {section}")
    assert problems[0].message == message
    assert (problems[0].line, problems[0].column) == (3, column)


def test_a_sampler_whose_package_is_missing_is_refused_before_anything_starts(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_sections, "NEEDED_PACKAGES", {"cma-es": ("no_such_package",)})
    factors = "factors: {lr: {from: 0.1, to: 0.2}, epochs: {from: 1, to: 9}}"
    (problem,) = refuse(f"{BASE}search: {{{factors}, sampler: cma-es}}")
    assert problem.message == "sampler 'cma-es' needs the package no_such_package"
    assert problem.suggestion == "pip install no_such_package"


def test_an_arm_may_not_state_what_is_tuned(refuse: Refuse) -> None:
    (problem,) = refuse(f"{BASE}vary: {{lr: [0.1]}}\ntune: {{{RANGES}}}")
    assert problem.message == "arm 'lr=0.1' states lr, which 'tune' changes"
    assert (problem.line, problem.column) == (2, 13)


@pytest.mark.parametrize("name", ["best of search", "search #3", "x #0"])
def test_names_that_a_search_gives_are_taken(name: str, refuse: Refuse) -> None:
    (problem,) = refuse(f"{BASE}arms: {{'{name}': {{epochs: 3}}}}\nsearch: {{{RANGES}}}")
    assert problem.message == f"{name!r} is a name that a search uses"


def test_the_best_candidate_becomes_an_arm_once_all_are_answered(load: Load, toy: type[Core]) -> None:
    written = load(f"{BASE}search: {{{RANGES}, trials: 2}}")
    first = stand(written, toy, [tried("search", 0, 0.02, 30.0)])
    assert [search.name for search in first.open] == ["search"]
    assert [arm.name for arm in first.study.arms] == ["baseline"]
    rows = [tried("search", 0, 0.02, 30.0), tried("search", 1, 0.03, 31.0)]
    second = stand(written, toy, rows)
    assert not second.open
    arm = second.study.arms[1]
    assert (arm.name, arm.levels, arm.tuned) == ("best of search", {"lr": 0.03}, {"lr": 0.03})
    assert arm.settings == {**written.baseline.settings, "lr": 0.03}
    check_against_stored(first.study, second.study)
    check_against_stored(second.study, stand(written, toy, rows).study)


def test_every_arm_gets_the_levels_of_its_own_best_candidate(load: Load, toy: type[Core]) -> None:
    written = load(f"{BASE}vary: {{epochs: [20]}}\ntune: {{{RANGES}, trials: 1}}")
    half = stand(written, toy, [tried("baseline", 0, 0.02, 30.0)])
    assert [arm.name for arm in half.study.arms] == ["baseline"]
    done = stand(written, toy, [tried("baseline", 0, 0.02, 30.0), tried("epochs=20", 0, 0.05, 30.0)])
    assert [(arm.settings["lr"], arm.settings["epochs"]) for arm in done.study.arms] == [(0.02, 10), (0.05, 20)]
    assert done.study.arms[1].factor == "epochs"
    check_against_stored(written, done.study)


def test_a_search_in_which_all_diverged_says_so(load: Load, toy: type[Core]) -> None:
    standing = stand(load(f"{BASE}search: {{{RANGES}, trials: 1}}"), toy, [tried("search", 0, 0.02, None)])
    assert not standing.open
    assert [arm.name for arm in standing.study.arms] == ["baseline"]
    assert standing.study.warnings[-1].message == SENTENCES["search which all diverged"]


def test_a_search_may_go_on_but_not_change(load: Load, toy: type[Core]) -> None:
    """More trials are welcome until the best candidate was confirmed; another range would mix two searches."""
    stored = load(f"{BASE}search: {{{RANGES}, trials: 2}}")
    longer = load(f"{BASE}search: {{{RANGES}, trials: 9}}")
    check_against_stored(stored, longer)
    with pytest.raises(StudyChangedError, match="has other settings"):
        check_against_stored(stored, load(f"{BASE}search: {{{RANGES}, trials: 2, sampler: random}}"))
    rows = [tried("search", 0, 0.02, 30.0), tried("search", 1, 0.03, 31.0)]
    confirmed = stand(stored, toy, rows).study
    with pytest.raises(StudyChangedError, match="'search' was confirmed after 2 trials, now 9"):
        check_against_stored(confirmed, longer)


def test_the_plan_counts_what_is_left_of_a_search(load: Load) -> None:
    (search,) = load(f"{BASE}search: {{{RANGES}, trials: 4, seeds: 2}}").searches
    rows: list[Tried] = [tried("search", 0, 0.02, 30.0), tried("search", 0, 0.02, 30.0, FIRST_SEED + 1)]
    rows += [tried("search", 1, 0.02, 30.0), replace(tried("search", 2, 0.03, 1.0), outcome=OutcomeKind.LOST)]
    plan = search_plan(search, rows)
    assert (plan.trials, plan.answered, plan.pruned, plan.to_run) == (4, 1, 0, 5)
    assert plan.then == "best of search"


def test_the_built_in_core_can_be_searched(load: Load, tmp_path: Any) -> None:
    """What the page of designs shows works on the core that people have."""
    from ablate.study.reading.load_study import load_study

    path = tmp_path / "built-in.yaml"
    path.write_text("baseline: {}\nsearch: {factors: {dip_steps: {from: 25, to: 400, log: true}}}")
    assert load_study(path, resolve_core=registry.core_class).searches[0].ranges[0].whole
