"""A program that knows nothing of bohb-nas: arguments in, one JSON object on standard output out.

    bohb-nas run --space examples/my_space.py --budget-min 1s --budget-max 9s --command \
        "python examples/command_worker/train.py --lr {lr} --width {width} --optimizer {optimizer} --momentum {momentum} \
        --seconds {budget} --seed {seed}"

`--momentum {momentum}` is left out of the command while the optimizer is adam.
"""

import argparse
import json
import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main() -> None:
    """Trains until the seconds are over, then says how large the validation error is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], required=True)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    images, valid_images, labels, valid_labels = train_test_split(images / 16, labels, test_size=0.2, random_state=0, stratify=labels)
    model = MLPClassifier(
        (given.width,), solver=given.optimizer, learning_rate_init=given.lr, momentum=given.momentum, random_state=given.seed
    )
    began, epochs = time.monotonic(), 0
    while time.monotonic() < began + given.seconds:
        model.partial_fit(images, labels, classes=range(10))
        epochs += 1
        print(f"epoch {epochs}: training loss {model.loss_:.4f}")
    error = 1 - model.score(valid_images, valid_labels)
    print(json.dumps({"loss": error, "train_s": time.monotonic() - began, "metrics": {"epochs": epochs}}))


if __name__ == "__main__":
    main()
