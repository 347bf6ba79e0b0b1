"""The picture of a running study on a terminal: one line per running trial, the arms so far below."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from ablate.display import interim_results, interim_table
from ablate.display.run_state import Lane, RunView
from ablate.human_units import brief, pad, shorten

_BAR_MAX = 26
_QUEUED_MAX = 4
_LANE_FIXED = 63
"""Cells of a lane's line that are not the arm's name."""


def picture(view: RunView, now: float, width: int, height: int = 40) -> Text:
    """Return the whole picture in at most `width` x `height` cells, as far as numbers allow."""
    lines = [_head(view, now, width)]
    if view.lanes:
        lines.append(Text(_lane_header(width), style="dim"))
    lines += [_lane_line(lane, now, width) for lane in sorted(view.lanes.values(), key=lambda lane: lane.slot)]
    lines += [Text(shorten(line, width), style="dim") for line in queue_lines(view.queued)]
    lines += [
        Text(shorten(f"   again: {arm} s{seed} {why}", width), style="yellow")
        for (arm, seed), why in view.again.items()
    ]
    lines += [Text(shorten(f"   {line}", width)) for line in interim_results.search_lines(view.study, view.results)]
    foot = Text(view.message or "Ctrl-C once: save checkpoints and stop", style="yellow" if view.message else "dim")
    lines += _arms(view, width, height - len(lines) - 2)
    return Text("\n").join([*lines, foot])


def queue_lines(queued: Mapping[int, str]) -> list[str]:
    """One line per slot that waits in a cluster's queue; of many, the first few."""
    lines = [f"{slot:>4} waits: {where}" for slot, where in sorted(queued.items())]
    more = len(lines) - _QUEUED_MAX
    return [*lines[:_QUEUED_MAX], f"     and {more} more wait"] if more > 1 else lines


def _head(view: RunView, now: float, width: int) -> Text:
    times = f"{brief(now - view.began)} elapsed{_eta(view, now)}"
    count = f"{view.done}/{view.total}"
    room = width - len(view.study.name) - len(count) - len(times) - 8
    bar = _bar(view.done / max(1, view.total), min(_BAR_MAX, room)) if room >= 6 else ""
    return Text("  ".join(part for part in (view.study.name, count, bar, times) if part), style="bold")


def _eta(view: RunView, now: float) -> str:
    """What is left, with its range; nothing before the engine can tell."""
    if view.eta is None or view.done >= view.total:
        return ""
    passed = now - view.eta_at
    mid, low, high = (brief(max(0.0, end - passed)) for end in (view.eta.mid_s, view.eta.low_s, view.eta.high_s))
    return f", {mid} left" + (f" ({low}-{high})" if low != high else "")


def _bar(fraction: float, width: int) -> str:
    """A bar of `width` cells between brackets."""
    filled = int(min(1.0, max(0.0, fraction)) * width)
    return f"[{'#' * filled}{'-' * (width - filled)}]"


def _lane_header(width: int) -> str:
    arm = pad("arm", _arm_width(width))
    return f"slot trial {arm} {'seed':>4} {'stage':<8} {'progress':<14} {'loss':>8} {'it/s':>6} {'left':>6}"


def _arm_width(width: int) -> int:
    return max(8, min(40, width - _LANE_FIXED))


def _lane_line(lane: Lane, now: float, width: int) -> Text:
    arm = pad(lane.arm, _arm_width(width))
    head = f"{lane.slot:>4} {'#' + str(lane.trial):>5} {arm} {lane.seed:>4} "
    if not lane.stage:
        return Text(f"{head}starting {brief(now - lane.since)}")
    loss = next((value for name, value in lane.numbers.items() if name.endswith("loss")), None)
    rate = "" if lane.rate is None else f"{lane.rate:.3g}" if lane.rate < 1000 else f"{lane.rate:.0f}"
    left = "" if lane.left_s is None else brief(max(0.0, lane.left_s))
    shown = "" if loss is None else f"{loss:.3g}"
    bar = f"{_bar(lane.fraction, 7)} {100 * lane.fraction:>3.0f}%"
    return Text(f"{head}{pad(lane.stage, 8)} {bar} {shown:>8} {rate:>6} {left:>6}")


def _arms(view: RunView, width: int, room: int) -> list[Text]:
    """The arms that gave a result already, or the last of them where the screen is low."""
    arms = [arm for arm in interim_results.interim_arms(view.study, view.planned, view.results) if arm.done]
    if not arms or room < 3:
        return []
    hidden = len(arms) - (room - 2)
    if hidden > 0:
        arms = [arms[0], *arms[hidden + 2 :]]
    lines = interim_table.table(arms, view.study.primary, width)
    more = [Text(f"  and {hidden + 1} more arms: {view.watch}", style="dim")] if hidden > 0 else []
    return [Text("-" * width, style="dim"), *lines, *more]
