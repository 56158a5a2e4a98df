"""One instance of each upstream per process."""

from __future__ import annotations

from os import PathLike, path
from threading import Lock

from espnet_plugins.ssl.backbone import Backbone
from espnet_plugins.ssl.sources import describe_upstream
from espnet_plugins.ssl.spec import resolve_layers
from espnet_plugins.ssl.upstream import Layers, Upstream

_BACKBONES: dict[tuple, Backbone] = {}
_UPSTREAMS: dict[tuple, Upstream] = {}
_LOCK = Lock()


def get_shared_upstream(
    model: str = "hubert_base",
    *,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: bool = True,
    context: str | None = None,
    layers: Layers = -1,
) -> Upstream:
    """Give this process's instance of an upstream; its weights are read on the first call of it.

    Args:
        model: as in :func:`~espnet_plugins.ssl.build_upstream`, like the others.
        checkpoint: file or folder.
        pretrained: False for random weights.
        context: of Whisper.
        layers: default layers of a call; all choices of layers share one set of weights.

    Returns:
        The same object for the same arguments.

    Raises:
        ValueError: as :func:`~espnet_plugins.ssl.build_upstream`.
        FileNotFoundError: as :func:`~espnet_plugins.ssl.build_upstream`.

    Example:
        >>> a = get_shared_upstream("wavlm_large", pretrained=False)
        >>> b = get_shared_upstream("wavlm_large", pretrained=False, layers="all")
        >>> a is get_shared_upstream("wavlm_large", pretrained=False), a.backbone is b.backbone
        (True, True)
        >>> a.backbone.loaded
        False
    """
    key = (model, None if checkpoint is None else path.realpath(checkpoint), bool(pretrained), context)
    with _LOCK:
        if key not in _BACKBONES:
            spec = describe_upstream(model, checkpoint=checkpoint, pretrained=pretrained, context=context)
            _BACKBONES[key] = Backbone(spec)
        backbone = _BACKBONES[key]
        choice = (key, resolve_layers(layers, backbone.spec.n_layers))
        if choice not in _UPSTREAMS:
            _UPSTREAMS[choice] = Upstream(backbone, layers)
        return _UPSTREAMS[choice]
