"""A Lightning script as one finds them: a module, a data module, a Trainer with a CSV logger, options by argparse.

A small network tells two interleaved spirals apart. The points are made here; nothing is downloaded.
"""

import argparse
import math

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def spirals(count, noise, seed):
    """Return points [count, 2] on two noisy spirals, and which of them each is on."""
    rng = torch.Generator().manual_seed(seed)
    side = torch.arange(count) % 2
    turn = 1.5 * math.pi * (0.2 + torch.rand(count, generator=rng))
    angle = turn + math.pi * side
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / 4
    return points + noise * torch.randn(count, 2, generator=rng), side


class Spirals(lightning.LightningDataModule):
    def __init__(self, batch_size, seed):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    def setup(self, stage):
        self.data = TensorDataset(*spirals(400, 0.2, self.seed))
        self.held_out = TensorDataset(*spirals(2000, 0.2, self.seed + 1_000_000))

    def train_dataloader(self):
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.held_out, 500)

    test_dataloader = val_dataloader


class Classifier(lightning.LightningModule):
    def __init__(self, width, dropout, optimizer, lr):
        super().__init__()
        self.save_hyperparameters()
        hidden = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout))
        self.network = nn.Sequential(nn.Linear(2, width), nn.ReLU(), hidden, nn.Linear(width, 2))

    def training_step(self, batch, number):
        x, y = batch
        return nn.functional.cross_entropy(self.network(x), y)

    def score(self, batch, name):
        x, y = batch
        self.log(name, (self.network(x).argmax(1) == y).float().mean())

    def validation_step(self, batch, number):
        self.score(batch, "val_acc")

    def test_step(self, batch, number):
        self.score(batch, "test_acc")

    def configure_optimizers(self):
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[self.hparams.optimizer]
        return kind(self.parameters(), self.hparams.lr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="run")
    options = parser.parse_args()

    lightning.seed_everything(options.seed)
    trainer = lightning.Trainer(
        max_epochs=options.epochs,
        devices=1,
        logger=CSVLogger(options.out, name="", version=""),
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    data = Spirals(options.batch_size, options.seed)
    model = Classifier(options.width, options.dropout, options.optimizer, options.lr)
    trainer.fit(model, data)
    trainer.test(model, data)


if __name__ == "__main__":
    main()
