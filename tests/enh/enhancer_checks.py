"""What every enhancer is held to, whichever network it is: batches and streams."""

import torch

# Waveform, lengths, what the error says.
WRONG_INPUT = [
    (torch.zeros(100), None, r"shape \(100,\)"),
    (torch.zeros(2, 0), None, "T above 0"),
    (torch.zeros(2, 100), torch.tensor([100, 0]), r"lengths \[100, 0\]"),
    (torch.zeros(2, 100), torch.tensor([101, 5]), r"lengths \[101, 5\]"),
    (torch.zeros(2, 100), torch.tensor([100]), r"lengths \[100\]"),
]


def in_pieces(stream, waveform, sizes):
    """What a stream gives of a waveform (T,), fed in pieces of these sizes in turn."""
    pieces, start, k = [], 0, 0
    while start < len(waveform):
        pieces.append(stream.feed(waveform[start : start + sizes[k % len(sizes)]]))
        start, k = start + sizes[k % len(sizes)], k + 1
    return torch.cat([*pieces, stream.finish()])


def check_batch_as_if_alone(model, waveform, lengths, *, values, gradients):
    """A padded batch gives each utterance, and its gradients, what it is given alone; NaN behind the end is not read.

    Args:
        model: (waveform, lengths) to waveform, in float64.
        waveform: (B, T), float64.
        lengths: (B,) in samples.
        values: Tolerances of the results, atol and rtol.
        gradients: Tolerances of the gradients.
    """
    poisoned = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, torch.nan)
    waveform.requires_grad_()
    together = model(poisoned.requires_grad_(), lengths)
    assert together.shape == poisoned.shape
    weights = 0.1 * torch.randn(together.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (together * weights).sum().backward()
    of_batch = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for k, n in enumerate(lengths.tolist()):
        alone = model(waveform[k : k + 1, :n])
        torch.testing.assert_close(together[k, :n], alone[0], **values)
        assert together[k, n:].eq(0).all()
        (alone * weights[k, :n]).sum().backward()
    for k, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(poisoned.grad[k, :n], waveform.grad[k, :n], **gradients)
        assert poisoned.grad[k, n:].eq(0).all()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(of_batch[name], parameter.grad, **gradients, msg=lambda m, n=name: n + m)
