"""A worker of one's own: a file with a function `train`. This one trains scikit-learn until the budget is spent.

bohb-nas run --space examples/my_space.py --worker examples/my_worker.py --budget-min 1s --budget-max 9s
"""

import time
from pathlib import Path

from sklearn.neural_network import MLPClassifier

from bohb_nas import Result, Status, Trial
from bohb_nas.datasets import load_dataset, split


def train(trial: Trial, workdir: Path) -> Result:
    """Trains handwritten digits for `trial.budget` seconds; the loss is the error on the validation part."""
    digits = load_dataset("digits")
    images, labels = digits.train_images.reshape(len(digits.train_labels), -1) / 255, digits.train_labels
    train, valid = split(labels, valid_fraction=0.2, seed=0)
    model = MLPClassifier(
        hidden_layer_sizes=(trial.config["width"],),
        solver=trial.config["optimizer"],
        learning_rate_init=trial.config["lr"],
        momentum=trial.config.get("momentum", 0.9),  # an inactive hyperparameter is absent
        random_state=trial.seed,
    )
    began, epochs = time.monotonic(), 0
    while time.monotonic() < began + trial.budget:
        model.partial_fit(images[train], labels[train], classes=range(10))
        epochs += 1
    return Result(
        trial_id=trial.trial_id,
        status=Status.OK,
        loss=1 - float(model.score(images[valid], labels[valid])),
        train_s=time.monotonic() - began,
        metrics={"epochs": epochs},
    )
