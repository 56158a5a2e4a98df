"""Encoders, separators, decoders and front-ends that give an utterance in a padded batch what they give it alone.

ESPnet's do not: norms average over the padding, spectra mirror the end of the batch instead of the utterance's,
attention and recurrence see what is behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.decoder.null_decoder import NullDecoder
from espnet2.enh.encoder.abs_encoder import AbsEncoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.encoder.null_encoder import NullEncoder
from espnet2.enh.separator.tcn_separator import TCNSeparator
from torch.nn.functional import pad
from torch_complex.tensor import ComplexTensor

from espnet_plugins.enh.lengths import mask_padding
from espnet_plugins.enh.masked_norms import Frames, mask_norms
from espnet_plugins.recast import extend, recast

Part = TypeVar("Part", bound="torch.nn.Module | None")

# What gives each utterance the same in any batch, once there are zeros behind its end.
_EXACT = (ConvEncoder, NullEncoder, ConvDecoder, NullDecoder)


def is_padded(lengths: torch.Tensor | None) -> bool:
    """Whether utterances differ in length; None stands for equal lengths."""
    return lengths is not None and len(lengths) > 1 and bool((lengths != lengths[0]).any())


class _Unpadded(torch.nn.Module):
    """Passes the utterances of a padded batch one by one."""

    def forward(self, input, ilens, *args, **kwargs):
        """As the class that this one is put before."""
        forward = super().forward
        if not is_padded(ilens):
            return forward(input, ilens, *args, **kwargs)
        spans = list(enumerate(self.input_lengths(ilens, **kwargs).tolist()))
        return _join(
            [
                forward(
                    input[row : row + 1, :n],
                    ilens[row : row + 1],
                    *(_take(value, row, n, len(spans)) for value in args),
                    **kwargs,
                )
                for row, n in spans
            ]
        )

    def input_lengths(self, ilens: torch.Tensor, **options) -> torch.Tensor:
        """Each utterance's length along the second dimension of the input, (B,)."""
        return ilens


class _UnpaddedDecoder(_Unpadded):
    """A decoder is told samples and given frames: as many as the encoder made of them."""

    # A tuple, so that the encoder is no submodule of the decoder.
    encoder: tuple[AbsEncoder]

    def input_lengths(self, ilens: torch.Tensor, **options) -> torch.Tensor:
        """Each utterance's frames, (B,)."""
        return count_frames(self.encoder[0], ilens, **options)


class _MaskedTCN(TCNSeparator):
    """ESPnet's Conv-TasNet separator in one pass, its norms over each utterance's own frames."""

    frames: Frames

    def forward(self, input, ilens, additional=None):
        """As TCNSeparator; estimates and masks are zero behind each utterance's end."""
        if not is_padded(ilens):
            return super().forward(input, ilens, additional)
        with self.frames.of(ilens.tolist()):
            estimates, ilens, others = super().forward(mask_padding(input, ilens), ilens, additional)
        masked = {name: mask_padding(value, ilens) for name, value in others.items()}
        return [mask_padding(estimate, ilens) for estimate in estimates], ilens, masked


def ignores_padding(part: torch.nn.Module | None) -> bool:
    """Whether a part gives an utterance in a padded batch what it gives it alone; one that a model lacks does."""
    known = (*_EXACT, _Unpadded, _MaskedTCN)
    return part is None or isinstance(part, known) or bool(getattr(part, "length_aware", False))


def ignore_padding(part: Part, *, encoder: AbsEncoder | None = None) -> Part:
    """Make a part of a model give an utterance in a padded batch what it gives it alone.

    Conv-TasNet's parts (convolutional encoder and decoder, TCN) stay one pass over the batch. All others pass
    utterance by utterance, but for those that respect lengths and say so by an attribute `length_aware = True`. Names
    of parameters stay, and a batch without padding is passed as ESPnet passes it.

    Args:
        part: An encoder, separator or decoder of the enhancement task, or a recognizer's front-end; None for one that
            a model lacks.
        encoder: The encoder whose frames a decoder decodes.

    Returns:
        The part itself where it does so already, else one with the same parameters.

    Example:
        >>> decoder = ConvDecoder(channel=4, kernel_size=32, stride=16)
        >>> ignore_padding(decoder) is decoder
        True
    """
    if part is None or ignores_padding(part):
        return part
    kind = type(part)
    if kind is TCNSeparator:
        return cast(Part, recast(part, _MaskedTCN, frames=mask_norms(part)))
    if encoder is not None:
        return cast(Part, recast(part, extend(kind, _UnpaddedDecoder), encoder=(encoder,)))
    return cast(Part, recast(part, extend(kind, _Unpadded)))


def count_frames(encoder: AbsEncoder, lengths: torch.Tensor, **options) -> torch.Tensor:
    """Frames that an encoder makes of utterances.

    Args:
        encoder: ESPnet's.
        lengths: (B,) in samples.
        options: For the encoder: `fs`.

    Returns:
        (B,) lengths in frames.

    Example:
        >>> count_frames(ConvEncoder(channel=4, kernel_size=32, stride=16), torch.tensor([320, 160])).tolist()
        [19, 9]
    """
    with torch.no_grad():
        # Silence, since only the encoder knows how it treats edges.
        silence = (torch.zeros(1, n, device=lengths.device) for n in lengths.tolist())
        counts = [encoder(one, one.new_full((1,), one.shape[1], dtype=torch.long), **options)[1] for one in silence]
    return torch.cat(counts)


def _take(value: Any, row: int, n_frames: int, n_rows: int) -> Any:
    """One utterance's share of an argument."""
    if isinstance(value, Mapping):
        return {name: _take(one, row, n_frames, n_rows) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_take(one, row, n_frames, n_rows) for one in value]
    if isinstance(value, (torch.Tensor, ComplexTensor)) and value.dim() > 1 and value.shape[0] == n_rows:
        return value[row : row + 1, :n_frames]
    return value


def _join(results: Sequence[Any]) -> Any:
    """One result for the batch out of each utterance's; zeros behind shorter ones."""
    first = results[0]
    if isinstance(first, Mapping):
        return {name: _join([one[name] for one in results]) for name in first}
    if isinstance(first, (list, tuple)):
        return type(first)(_join(column) for column in zip(*results, strict=True))
    if isinstance(first, ComplexTensor):
        return ComplexTensor(_join([one.real for one in results]), _join([one.imag for one in results]))
    if isinstance(first, torch.Tensor):
        shape = [max(sizes) for sizes in zip(*(one.shape[1:] for one in results), strict=True)]
        return torch.cat([pad(one, list(_margins(one, shape))) for one in results])
    return first


def _margins(value: torch.Tensor, shape: Sequence[int]) -> Iterator[int]:
    for have, want in zip(reversed(value.shape[1:]), reversed(shape), strict=True):
        yield from (0, want - have)
