"""A function that trains a support vector machine on scikit-learn's handwritten digits. It knows nothing of ablate."""

from typing import Literal

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def train(
    *,
    kernel: Literal["rbf", "linear", "poly"] = "rbf",
    penalty: float = 1.0,
    standardise: bool = False,
    examples: int = 300,
    seed: int,
) -> dict[str, float]:
    """Fit on some of the 1,797 digits, and return the accuracy on the others."""
    pixels, digits = load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(pixels, digits, train_size=examples, stratify=digits, random_state=seed)
    model = SVC(kernel=kernel, C=penalty)
    if standardise:
        model = make_pipeline(StandardScaler(), model)
    model.fit(x, y)
    return {"accuracy": model.score(test_x, test_y)}
