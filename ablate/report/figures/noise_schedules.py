"""The noise schedules themselves, so that two names for one curve are seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ablate.beta_tables import is_table
from ablate.core.replay.noise_tables import noise_table
from ablate.core.schedules import Schedule, make_schedule
from ablate.core.settings.method import UNTRAINED
from ablate.json_values import JsonValue
from ablate.report.data.material import Material
from ablate.report.figures.base import LINES, Words, brief, finish, new_figure, styled
from ablate.report.figures.figure import PALETTE, Drawing
from ablate.study.spec import Arm, Study

_MOST = 12
_DRAWN_STEPS = 200
_COLOURS = [PALETTE[name] for name in ("blue", "orange", "green", "vermilion", "violet", "brown", "sky", "grey")]


def schedules(material: Material) -> Drawing | None:
    """Draw alpha-bar and log-SNR of every different schedule of a ``ddpm-dip`` study; noise tables for ``replay``."""
    study = material.study
    if study.core == "ddpm-dip":
        return _diffusion(schedules_of(study))
    if study.core == "replay":
        return _tables(study)
    return None


def schedules_of(study: Study) -> dict[str, Schedule]:
    """Return label -> schedule for every different one that an arm with a denoiser uses, in study order."""
    found: dict[str, Schedule] = {}
    for arm in study.arms:
        if arm.settings.get("method") in UNTRAINED:
            continue
        schedule = _compiled(arm.settings)
        if schedule is not None:
            found.setdefault(_label(arm, study.baseline), schedule)
    return found


def _compiled(settings: Mapping[str, JsonValue]) -> Schedule | None:
    name, steps, power = (settings.get(key) for key in ("noise_schedule", "diffusion_steps", "schedule_power"))
    if not isinstance(name, str) or not isinstance(steps, int):
        return None
    exponent = float(power) if isinstance(power, int | float) else 2.0
    try:
        return make_schedule(name, steps, power=exponent, zero_terminal_snr=settings.get("zero_terminal_snr") is True)
    except ValueError:
        return None


def _label(arm: Arm, base: Arm) -> str:
    """The schedule's name as the study has it, with the other settings of it where they are not the baseline's."""
    extra = [
        f"{key.removeprefix('schedule_')}={arm.settings.get(key)}"
        for key in ("schedule_power", "diffusion_steps", "zero_terminal_snr")
        if arm.settings.get(key) != base.settings.get(key)
    ]
    setting = arm.settings.get("noise_schedule")
    # A recipe holds a table as numbers; the name it was given stands in the study.
    written = arm.levels.get("noise_schedule", base.levels.get("noise_schedule"))
    return ", ".join([str(written if is_table(setting) else setting), *extra])


def _diffusion(found: Mapping[str, Schedule]) -> Drawing | None:
    if not found:
        return None
    rows: list[tuple[object, ...]] = []
    with styled():
        figure, (left, right) = new_figure(8.6, 3.1, 1, 2)
        for at, (label, schedule) in enumerate(list(found.items())[:_MOST]):
            steps = np.unique(np.linspace(1, schedule.steps, _DRAWN_STEPS).round().astype(int))
            time, bars, snr = steps / schedule.steps, schedule.alpha_bars[steps - 1], schedule.log_snr[steps - 1]
            look = _look(at)
            left.plot(time, bars, label=brief(label), **look)
            right.plot(time, np.where(np.isfinite(snr), snr, np.nan), **look)
            rows += [(label, *row) for row in zip(steps.tolist(), bars.tolist(), snr.tolist(), strict=True)]
        left.set_ylabel("alpha-bar: remaining signal")
        right.set_ylabel("log-SNR")
        for axis in (left, right):
            axis.set_xlabel("t / T")
            axis.grid(visible=True)
            axis.set_axisbelow(True)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(found)))
        return finish(_words(found), figure, ("schedule", "step", "alpha_bar", "log_snr"), rows)


def _look(at: int) -> dict[str, Any]:
    return {"color": _COLOURS[at % len(_COLOURS)], "linestyle": LINES[at % len(LINES)], "linewidth": 1.7}


def _words(found: Mapping[str, Schedule]) -> Words:
    twins = [
        f"{first} and {second}"
        for at, (first, one) in enumerate(found.items())
        for second, other in list(found.items())[at + 1 :]
        if one.steps == other.steps and np.allclose(one.alpha_bars, other.alpha_bars, rtol=1e-6, atol=1e-9)
    ]
    same = f" The same curve under two names: {'; '.join(twins)}." if twins else ""
    ends = ", ".join(f"{label} {schedule.alpha_bars[-1] ** 0.5:.3g}" for label, schedule in list(found.items())[:_MOST])
    return Words(
        name="schedules",
        section="factors",
        title="Noise schedules",
        alt=f"Two panels with the curves alpha-bar and log-SNR over t/T of the noise schedules {', '.join(found)}.",
        caption=f"Remaining signal at the last step, sqrt(alpha-bar_T): {ends}.{same}",
    )


def _tables(study: Study) -> Drawing | None:
    names = list(dict.fromkeys(str(arm.settings.get("noise_schedule")) for arm in study.arms))
    rows: list[tuple[object, ...]] = []
    with styled():
        figure, (axis,) = new_figure(6.4, 3.2)
        for at, name in enumerate(names):
            values = noise_table(name)
            look = _look(at)
            axis.plot(range(len(values)), values, label=brief(name), **look)
            rows += [(name, step, value) for step, value in enumerate(values)]
        axis.set(xlabel="entry of the table", ylabel="standard deviation of the noise, on [-1, 1]")
        axis.grid(visible=True)
        axis.set_axisbelow(True)
        axis.legend()
        words = Words(
            name="schedules",
            section="factors",
            title="Noise tables",
            alt=f"Noise standard deviations over the table entries for {', '.join(names)}.",
            caption="The tables differ in the amount of noise as well as in shape; equal lines are equal tables.",
        )
        return finish(words, figure, ("schedule", "entry", "sigma"), rows)
