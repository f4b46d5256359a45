"""The choice of a network family, each with its own hyperparameters, which exist only under it."""

from collections.abc import Mapping

from ConfigSpace import Categorical, ConfigurationSpace, Constant

from bohb_nas import networks

_DEFAULT = "multi_branch"


def catalogue() -> dict[str, ConfigurationSpace]:
    """The architecture of every family of the catalogue but the published one, which is `multi_branch` with widths of any number."""
    return {name: networks.family_space(name) for name in networks.names() if name != networks.PUBLISHED}


def add_families(space: ConfigurationSpace, families: Mapping[str, ConfigurationSpace]) -> None:
    """Adds `family`, and under each choice the hyperparameters of that family.

    Args:
        space: left without a choice where there is one family only.
        families: name -> architecture; their hyperparameters have names of their own.
    """
    if len(families) == 1:
        ((name, only),) = families.items()
        space.add(Constant("family", name))
        space.add_configuration_space("", only, delimiter="")
        return
    family = Categorical("family", list(families), default=_DEFAULT if _DEFAULT in families else next(iter(families)))
    space.add(family)
    for name, children in families.items():
        space.add_configuration_space("", children, delimiter="", parent_hyperparameter={"parent": family, "value": name})
