"""How a network is trained, as hyperparameters: batches, schedule, averaging, and the optimizers with their own children."""

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer


def add_training(space: ConfigurationSpace) -> None:
    """Adds everything about training that is neither the network nor what happens to the images.

    Learning rates are those of batches of 128; the warm-up and what an average remembers are fractions of the budget, so that
    a short rung and a long one mean the same by them.
    """
    average, average_span = Categorical("average", ["off", "on"], default="off"), Float("average_span", (2e-3, 0.1), default=0.02, log=True)
    space.add(
        Integer("batch_size", (32, 1024), default=128, log=True),
        Float("label_smoothing", (0.0, 0.2), default=0.0),
        Categorical("schedule", ["cosine", "linear", "trapezoid"], default="cosine"),
        Float("warm_up", (0.01, 0.3), default=0.05, log=True),
        average,
        average_span,
    )
    space.add(EqualsCondition(average_span, average, "on"))
    _add_optimizers(space)


def _add_optimizers(space: ConfigurationSpace) -> None:
    """Weight decay is each optimizer's own: SGD adds it to the gradient, AdamW and Muon take it off the weights.

    Muon's defaults are its authors' (Jordan et al. 2024). Their records on CIFAR-10 have rates as high as 0.06 by the scale used
    here, and momenta as low as 0.6; 0.1 is the weight decay of language models (Liu et al. 2025).
    """
    optimizer = Categorical("optimizer", ["sgd", "adamw", "muon"], default="sgd")
    sgd = [
        Float("sgd_learning_rate", (1e-3, 1.0), default=0.1, log=True),
        Float("sgd_one_minus_momentum", (0.005, 0.5), default=0.1, log=True),
        Float("sgd_weight_decay", (1e-5, 1e-2), default=5e-4, log=True),
    ]
    adamw = [
        Float("adamw_learning_rate", (1e-4, 3e-2), default=3e-3, log=True),
        Float("adamw_one_minus_beta1", (0.02, 0.5), default=0.1, log=True),
        Float("adamw_one_minus_beta2", (1e-3, 0.1), default=0.01, log=True),
        Float("adamw_weight_decay", (1e-4, 1.0), default=0.05, log=True),
    ]
    muon = [
        Float("muon_learning_rate", (1e-3, 0.3), default=0.05, log=True),
        Float("muon_one_minus_momentum", (0.02, 0.5), default=0.05, log=True),
        Float("muon_weight_decay", (1e-4, 1.0), default=0.01, log=True),
    ]
    space.add(optimizer, *sgd, *adamw, *muon)
    space.add(*(EqualsCondition(child, optimizer, "sgd") for child in sgd))
    space.add(*(EqualsCondition(child, optimizer, "adamw") for child in adamw))
    space.add(*(EqualsCondition(child, optimizer, "muon") for child in muon))
