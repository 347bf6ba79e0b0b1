"""An ordinary training script: options in, accuracy out. It knows nothing of ablate.

A network with one hidden layer learns to tell two interleaved half moons apart (Adam or plain gradient descent).
"""

import argparse
import csv
import pathlib
import signal
import sys

import numpy as np


def moons(count, noise, rng):
    """Return points [count, 2] on two noisy half circles, and which of them each is on."""
    angle = rng.uniform(0, np.pi, count)
    side = rng.integers(0, 2, count)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[side == 1] = [1.0, 0.5] - points[side == 1]
    return points + rng.normal(0, noise, (count, 2)), side


def forward(weights, x):
    """Return the hidden layer and the probability of side 1."""
    hidden = np.tanh(x @ weights["w1"] + weights["b1"])
    return hidden, 1 / (1 + np.exp(-(hidden @ weights["w2"] + weights["b2"])))


def score(weights, x, y):
    """Return the share of points that are told apart."""
    return float(np.mean((forward(weights, x)[1][:, 0] > 0.5) == y))


def gradients(weights, x, y, decay):
    """Return the gradients of the mean cross entropy with weight decay."""
    hidden, probability = forward(weights, x)
    error = (probability - y[:, None]) / len(y)
    back = error @ weights["w2"].T * (1 - hidden**2)
    found = {"w2": hidden.T @ error, "b2": error.sum(0), "w1": x.T @ back, "b1": back.sum(0)}
    return {name: value + decay * weights[name] for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--decay", type=float, help="weight decay; none when left out")
    parser.add_argument("--adam", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("run"))
    parser.add_argument("--resume", type=pathlib.Path)
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    x, y = moons(200, 0.25, rng)
    test_x, test_y = moons(2000, 0.25, rng)
    weights = {
        "w1": rng.normal(0, 1, (2, options.hidden)),
        "b1": np.zeros(options.hidden),
        "w2": rng.normal(0, 1 / np.sqrt(options.hidden), (options.hidden, 1)),
        "b2": np.zeros(1),
    }
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    start, step = 0, 0
    if options.resume:
        saved = np.load(options.resume)
        start, step = int(saved["epoch"]), int(saved["step"])
        for state, kind in ((weights, "weights"), (first, "first"), (second, "second")):
            for name in state:
                state[name] = saved[f"{kind}.{name}"]

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    log = (options.out / "log.csv").open("a" if start else "w", newline="")
    table = csv.writer(log)
    if not start:
        table.writerow(["epoch", "val_accuracy"])
    for epoch in range(start, options.epochs):
        # The order of the batches depends on seed and epoch alone, so that a resumed run is the undisturbed one.
        order = np.random.default_rng([options.seed, epoch]).permutation(len(x))
        for batch in np.array_split(order, 8):
            step += 1
            found = gradients(weights, x[batch], y[batch], options.decay or 0.0)
            for name, gradient in found.items():
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                if options.adam:
                    scale = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
                    weights[name] = weights[name] - options.lr * first[name] / (1 - 0.9**step) / scale
                else:
                    weights[name] = weights[name] - options.lr * gradient
        accuracy = score(weights, test_x, test_y)
        table.writerow([epoch + 1, accuracy])
        log.flush()
        print(f"epoch {epoch + 1}/{options.epochs}: accuracy {accuracy:.4f}", flush=True)
        states = ((weights, "weights"), (first, "first"), (second, "second"))
        arrays = {f"{kind}.{name}": value for state, kind in states for name, value in state.items()}
        np.savez(options.out / "new.npz", epoch=epoch + 1, step=step, **arrays)
        (options.out / "new.npz").replace(options.out / "last.npz")
        if stop:
            sys.exit(143)
    print(f"test accuracy: {score(weights, test_x, test_y)}")


if __name__ == "__main__":
    main()
