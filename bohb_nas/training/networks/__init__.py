"""Networks of torch, built from layers of `bohb_nas.layers`."""

from bohb_nas.training.networks.merging import Form, apart, merge, together
from bohb_nas.training.networks.network import Network

__all__ = ["Form", "Network", "apart", "merge", "together"]
