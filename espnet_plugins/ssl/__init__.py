"""Frozen self-supervised speech models behind one interface; tensors in, frames out, nothing of ESPnet."""

from espnet_plugins.ssl.checkpoint import export_espnet_hubert, save_upstream
from espnet_plugins.ssl.passes import share_passes
from espnet_plugins.ssl.shared import get_shared_upstream
from espnet_plugins.ssl.sources import UPSTREAM_OPTIONS, describe_upstream, find_upstream, register_upstream
from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.ssl.upstream import Upstream, build_upstream
from espnet_plugins.ssl.without_position import UpstreamWithoutPosition

__all__ = [
    "UPSTREAM_OPTIONS",
    "Upstream",
    "UpstreamSpec",
    "UpstreamWithoutPosition",
    "build_upstream",
    "describe_upstream",
    "export_espnet_hubert",
    "find_upstream",
    "get_shared_upstream",
    "register_upstream",
    "save_upstream",
    "share_passes",
]
