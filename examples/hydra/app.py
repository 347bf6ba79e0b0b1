"""A Hydra app as one finds them: a structured config, an output folder of Hydra's, metrics in a file there.

Ridge regression on random Fourier features of a noisy wave.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import hydra
import numpy as np
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig


@dataclass
class Model:
    width: int = 50
    ridge: float = 1e-3
    scales: list[float] = field(default_factory=lambda: [1.0, 4.0])


@dataclass
class Config:
    model: Model = field(default_factory=Model)
    noise: float = 0.3
    standardise: bool = True
    seed: int = 0


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config: Config) -> None:
    """Fit, score, and write the scores into Hydra's output folder."""
    rng = np.random.default_rng(config.seed)
    x = rng.uniform(-1, 1, 120)
    y = np.sin(6 * x) + config.noise * rng.normal(size=120)
    new = np.linspace(-1, 1, 500)
    each = config.model.width // len(config.model.scales)
    frequencies = np.concatenate([scale * rng.normal(size=each) for scale in config.model.scales])
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))

    def features(points: np.ndarray) -> np.ndarray:
        return np.cos(points[:, None] * frequencies + phases)

    train, test = features(x), features(new)
    if config.standardise:
        mean, spread = train.mean(0), train.std(0)
        train, test = (train - mean) / spread, (test - mean) / spread
    offset = y.mean()
    weights = np.linalg.solve(train.T @ train + config.model.ridge * np.eye(train.shape[1]), train.T @ (y - offset))
    rmse = float(np.sqrt(np.mean((test @ weights + offset - np.sin(6 * new)) ** 2)))
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "metrics.json").write_text(json.dumps({"test": {"rmse": rmse}}), encoding="utf-8")


if __name__ == "__main__":
    main()
