"""Positional probe: what of an upstream's frames, and of an objective's gradient, follows the frame index.

Results are light to import; `measure` has the probe itself.
"""

from espnet_plugins.analysis.probe.result import Layer, ProbeError, ProbeResult, Shares

__all__ = ["Layer", "ProbeError", "ProbeResult", "Shares"]
