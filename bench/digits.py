"""The search of `make run` beside random search at equal time, over seeds: validation error of the incumbent on digits.

Each run has the same wall seconds and workers; runs of the two methods alternate, so that a loaded machine hits both.
`python bench/digits.py [SECONDS [SEEDS]]`; finished studies in bench/results/digits are reused.
"""

import statistics
import sys
from pathlib import Path

from figures import by_rung, machine, places, rank_agreement, search, state, time_and_truth
from scipy import stats

FOLDER = Path(__file__).parent / "results" / "digits"
COMMON = ["--dataset", "digits", "--budget-min", "2s", "--budget-max", "18s", "--max-flops", "5M"]


def main() -> None:
    """Runs what is missing and prints the comparison."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "120"
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    best: dict[str, list[float]] = {"bohb": [], "random_search": []}
    workers = [f"{place.name} ({place.model})" for place in places(2)]
    print(f"digits, joint space, rungs 2 / 6 / 18 s, {seconds} s of search, workers on {', '.join(workers)}; {machine()}")
    for seed in seeds:
        for method, errors in best.items():
            study = FOLDER / f"{method}-{seconds}-{seed}"
            search(study, *COMMON, "--workers", str(len(workers)), "--method", method, "--seed", str(seed), "--total-time", f"{seconds}s")
            found = state(study)
            print(f"{method}, seed {seed}: {len(found.results)} evaluations")
            by_rung(found)
            rank_agreement(found)
            time_and_truth(found)
            errors.append(1.0 if found.incumbent is None or found.incumbent.result.loss is None else found.incumbent.result.loss)
    for method, errors in best.items():
        print(f"{method}: validation error of the incumbent {[f'{e:.2%}' for e in errors]}, mean {statistics.fmean(errors):.2%}")
    if len(seeds) > 1:
        differences = [a - b for a, b in zip(best["bohb"], best["random_search"], strict=True)]
        mean, sd = statistics.fmean(differences), statistics.stdev(differences)
        half = stats.t.ppf(0.975, len(differences) - 1) * sd / len(differences) ** 0.5
        interval = f"[{mean - half:+.2%}, {mean + half:+.2%}]"
        print(f"bohb - random search, paired by seed: {mean:+.2%}, 95 % interval (t) {interval}, n = {len(differences)}")


if __name__ == "__main__":
    main()
