"""The Deep Image Prior on 128x128 crops: where its output peaks, what is lost after, where ES-WMV stops.

    python benchmarks/dip_early_stop.py                    # 5,000 iterations of three fits, about 15 CPU minutes
    python benchmarks/dip_early_stop.py --steps 1500       # the peak alone
    python benchmarks/dip_early_stop.py --draw dip.json    # draw the figure from saved numbers

Fits: a crop of astronaut twice (two networks), the centre of chelsea once; noise 25/255, clipped, seed fixed below.
The skip network has 32 channels and 4 scales (121,779 parameters); output averaging 0.99, window 100, patience 400.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ablate.core.data.patches import manifest, read_photograph
from ablate.core.dip.fit import DipSettings, fit
from ablate.core.scores.psnr_ssim import psnr
from ablate.core.shared.seeding import generator

SETTINGS = DipSettings(channels=32, scales=4, steps=5000, stop="fixed", ema=0.99, window=100, patience=400)
CROPS = {"astronaut": (40, 160), "chelsea": (86, 161)}
"""Top and left of each 128x128 crop."""
FITS = (("astronaut", 0), ("astronaut", 1), ("chelsea", 0))
SIGMA = 25 / 255


def crops() -> Tensor:
    """Clean crops of `FITS`, float32 [3,3,128,128] in [0,1]."""
    found = []
    for name, _ in FITS:
        top, left = CROPS[name]
        entry = next(entry for entry in manifest()["images"] if entry["name"] == name)
        pixels = torch.tensor(list(read_photograph(entry).crop((left, top, left + 128, top + 128)).tobytes()))
        found.append(pixels.reshape(128, 128, 3).permute(2, 0, 1) / 255)
    return torch.stack(found)


def noisy_of(clean: Tensor) -> Tensor:
    """Each photograph with its own noise, clipped as a file would hold it."""
    noise = {name: torch.randn(3, 128, 128, generator=generator(0, f"dip-crop-{name}")) for name in CROPS}
    return (clean + SIGMA * torch.stack([noise[name] for name, _ in FITS])).clamp(0, 1)


def measure(steps: int) -> Iterator[dict[str, Any]]:
    """Fit, and yield curves [steps] and what is read off them, fit by fit."""
    torch.set_num_threads(1)
    clean = crops()
    noisy = noisy_of(clean)
    for index, (name, network) in enumerate(FITS):
        yield _measure_one(noisy[index : index + 1], clean[index : index + 1], name, network, steps)


def _measure_one(noisy: Tensor, clean: Tensor, name: str, network: int, steps: int) -> dict[str, Any]:
    """One image ([1,3,128,128] in [0,1]) and one network; the same fit again finds where ES-WMV ends it."""
    settings = replace(SETTINGS, steps=steps)
    began = time.process_time()
    whole = fit(noisy, settings, seed=0, clean=clean, indices=[network])
    took = time.process_time() - began
    print(f"{name}, network {network}: {took:.0f} CPU s for {steps} iterations", flush=True)
    stop = int(fit(noisy, replace(settings, stop="wmv"), seed=0, indices=[network]).stopped_at[0])
    assert whole.clean_psnr is not None
    iterate, average = whole.clean_psnr[:, 0].unbind(1)
    return {
        "image": name,
        "network": network,
        "cpu_s": took,
        "input_psnr": float(psnr(noisy * 2 - 1, clean * 2 - 1)),
        "stop": stop,
        "iterate": _read(iterate, stop),
        "average": _read(average, stop),
    }


def _read(curve: Tensor, stop: int) -> dict[str, Any]:
    best, where = curve.max(0)
    return {
        "peak_db": float(best),
        "peak_at": int(where) + 1,
        "stop_db": float(curve[stop - 1]),
        "gap_db": float(best - curve[stop - 1]),
        "final_db": float(curve[-1]),
        "curve": [round(float(value), 3) for value in curve],
    }


def show(found: dict[str, Any]) -> None:
    """Print one Markdown row per fit and curve."""
    print("| fit | input, dB | curve | peak, dB (at) | ES-WMV stop | at the stop, dB (gap) | at the end, dB |")
    print("|---|---|---|---|---|---|---|")
    for fitted in found["fits"]:
        for name in ("iterate", "average"):
            row = fitted[name]
            print(
                f"| {fitted['image']}, network {fitted['network']} | {fitted['input_psnr']:.2f} | {name} "
                f"| {row['peak_db']:.2f} ({row['peak_at']}) | {fitted['stop']} "
                f"| {row['stop_db']:.2f} ({row['gap_db']:.2f}) | {row['final_db']:.2f} |"
            )


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the figure: PSNR over iterations, of the output and of its running average, one panel per fit."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    count = len(found["fits"])
    figure, axes = plt.subplots(
        1, count, figsize=(2.6 + 2.8 * count, 3.1), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, fitted in zip(axes[0], found["fits"], strict=True):
        for name, label, colour in (("iterate", "output", "C7"), ("average", "running average 0.99", "C0")):
            row = fitted[name]
            axis.plot(range(1, len(row["curve"]) + 1), row["curve"], lw=0.8, color=colour, label=label)
            axis.plot(row["peak_at"], row["peak_db"], "o", ms=4, color=colour)
        axis.axvline(fitted["stop"], color="C3", lw=1, ls="--", label="ES-WMV stop")
        axis.axhline(fitted["input_psnr"], color="0.4", lw=0.8, ls=":", label="noisy image")
        axis.set(title=f"{fitted['image']}, network {fitted['network']}", xlabel="iteration", ylim=(18, None))
    axes[0, 0].set_ylabel("PSNR against the clean image, dB")
    axes[0, -1].legend(frameon=False, fontsize=7, loc="lower right")
    sns.despine(figure)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--json", type=Path, default=Path("dip_early_stop.json"), help="where the numbers go")
    parser.add_argument("--draw", type=Path, help="draw the numbers of this file, measure nothing")
    parser.add_argument("--figure", type=Path, default=Path("dip_early_stop.png"))
    asked = parser.parse_args()
    if asked.draw:
        found = json.loads(asked.draw.read_text(encoding="utf-8"))
    else:
        found = {"steps": asked.steps, "torch": torch.__version__, "fits": []}
        for fitted in measure(asked.steps):
            found["fits"].append(fitted)
            asked.json.write_text(json.dumps(found), encoding="utf-8")
    show(found)
    draw(found, asked.figure)


if __name__ == "__main__":
    main()
