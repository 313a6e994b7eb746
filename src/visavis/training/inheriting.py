"""First weights of a narrow network, from the wide one that it is to imitate.

Both networks have the same layers; the narrow one keeps some of each layer's channels. Which ones,
and with which weights, is decided layer by layer on a few hundred crops: the channels from which
the wide network's next layer is best reconstructed are kept (greedily, as J.-H. Luo, J. Wu and
W. Lin, "ThiNet", ICCV 2017, arXiv:1707.06342), and the weights are the least-squares solution that
makes the wide network's values before the activation out of the narrow network's own features
(Y. He, X. Zhang and J. Sun, "Channel pruning for accelerating very deep neural networks", ICCV
2017, arXiv:1707.06168). So each layer makes up for what the layers before it lost, the other
activation included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from visavis.embedding.backbones.edge_mobilenet import EdgeMobileNet
from visavis.embedding.backbones.sface import SFace

CROPS: Final = 512
"""Crops that the weights are fitted on. The last maps give 49 samples a crop."""
_SAMPLES: Final = 20_000  # positions that a least-squares system is made of
_CHUNK: Final = 32
_RIDGE: Final = 1e-4  # of the mean variance of the features, on the diagonal


@torch.no_grad()
def inherit(student: EdgeMobileNet, teacher: SFace, images: Tensor) -> None:
    """Give a narrow network the weights of a wide one, as far as they fit; in place.

    Args:
        student: its weights and statistics of batch normalization are set.
        teacher: the network that it imitates, of the same input and dimension; in evaluation mode
            afterwards, as is the student.
        images: ``(N, 3, S, S)`` as a backbone takes them, normalized. A few hundred; fewer work
            and give worse weights.
    """
    teacher.eval()
    student.eval()
    rng = np.random.default_rng(0)
    # Typed loosely: torch does not say what its containers hold.
    wide: list[Any] = list(teacher.features)
    narrow: list[Any] = list(student.features)
    # `wanted`: values of the wide network before the activation; `have`: inputs of the narrow one.
    wanted, have = _mapped(_before_activation(wide[0]), images), images
    for k in range(0, len(wide), 2):
        features = _mapped(wide[k].relu, wanted)
        if k + 1 < len(wide):
            spread = _mapped(_before_activation(wide[k + 1]), features)
            useful = _mapped(wide[k + 1].relu, spread)
            targets = _mapped(_before_activation(wide[k + 2]), useful)
        else:
            useful = features
            targets = features * _weight_of_channels(teacher)[:, None, None]
        kept = _most_useful(useful, targets, narrow[k][0].out_channels, rng)
        _fit(narrow[k], have, wanted[:, kept], rng)
        have = _mapped(narrow[k], have)
        if k + 1 == len(wide):
            _fit_head(student, teacher, have, features, rng)
            break
        _fit(narrow[k + 1], have, spread[:, kept], rng)
        have, wanted = _mapped(narrow[k + 1], have), targets


def _before_activation(block: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: block.batchnorm(block.conv2d(x))


def _mapped(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([layer(part) for part in torch.split(x, _CHUNK)])


def _weight_of_channels(teacher: SFace) -> Tensor:
    """How much the embedding depends on each channel of the last map: ``(C,)``."""
    gain = _gain(teacher.bn1)
    linear = teacher.pre_fc1
    weights = linear.weight.reshape(len(linear.weight), len(gain), -1)
    lengths: Tensor = weights.square().sum((0, 2)).sqrt()
    return gain.abs() * lengths


def _gain(norm: Any) -> Tensor:
    gain: Tensor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain


def _rows(x: Tensor, places: Tensor) -> Tensor:
    """Channels at some places of ``(N, C, H, W)`` maps: ``(places, C)`` float32."""
    image, place = places // (x.shape[2] * x.shape[3]), places % (x.shape[2] * x.shape[3])
    return x.flatten(2)[image, :, place]


def _places(x: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(x) * x.shape[2] * x.shape[3]
    if count <= _SAMPLES:
        return torch.arange(count)
    return torch.from_numpy(rng.integers(count, size=_SAMPLES))


def _most_useful(x: Tensor, y: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """The channels of ``x`` from which all of ``y`` is best predicted, chosen one by one."""
    places = _places(x, rng)
    a, b = _rows(x, places), _rows(y, places)
    a, b = a - a.mean(0), b - b.mean(0)
    own, cross = a.T @ a, a.T @ b
    floor = _RIDGE * own.diagonal().mean()
    free = torch.ones(len(own), dtype=torch.bool)
    chosen = []
    for _ in range(count):
        use = cross.square().sum(1) / (own.diagonal() + floor)
        best = int(torch.where(free, use, -1.0).argmax())
        chosen.append(best)
        free[best] = False
        ratio = own[:, best] / (own[best, best] + floor)
        cross.addr_(ratio, cross[best].clone(), alpha=-1)
        own.addr_(ratio, own[best].clone(), alpha=-1)
    return torch.tensor(sorted(chosen))


def _solved(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least squares ``y ~ x @ weights + shift`` over ``(..., samples, channels)``.

    Returns:
        ``weights`` and ``shift``, and the variance of what ``x @ weights`` gives.
    """
    middle_x, middle_y = x.mean(-2, keepdim=True), y.mean(-2, keepdim=True)
    x, y = x - middle_x, y - middle_y
    own = x.mT @ x / x.shape[-2]
    ridge = _RIDGE * own.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] + 1e-12
    weights = torch.linalg.solve(
        own + ridge * torch.eye(own.shape[-1], dtype=own.dtype), x.mT @ y / x.shape[-2]
    )
    variance = (weights * (own @ weights)).sum(-2)
    return weights, middle_y - middle_x @ weights, variance


def _fit(block: Any, x: Tensor, y: Tensor, rng: np.random.Generator) -> None:
    """Set a convolution and its normalization so that they make ``y`` of ``x``."""
    conv, norm = block[0], block[1]
    alone = conv.groups > 1
    places = _places(y, rng)[: _SAMPLES // 4 if alone else None]
    goal, seen = _rows(y, places), _windows(x, conv, places, y.shape[2:])
    if alone:
        weights, shift, variance = _solved(seen.transpose(0, 1), goal.T[..., None])
        weights, shift, variance = weights[..., 0].T, shift[:, 0, 0][None], variance[:, 0]
    else:
        weights, shift, variance = _solved(seen.flatten(1), goal)
    conv.weight.copy_(weights.T.reshape(conv.weight.shape))
    norm.running_mean.copy_(goal.mean(0) - shift[0])
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(goal.mean(0))


def _windows(x: Tensor, conv: Any, places: Tensor, shape: torch.Size) -> Tensor:
    """What a convolution sees at places of its output: ``(places, C, kernel area)`` float32."""
    edge, step, size = conv.padding[0], conv.stride[0], conv.kernel_size[0]
    x = functional.pad(x, (edge,) * 4)
    image, place = places // shape.numel(), places % shape.numel()
    row, column = place // shape[1] * step, place % shape[1] * step
    return torch.stack(
        [x[image, :, row + i, column + j] for i in range(size) for j in range(size)], 2
    )


def _fit_head(
    student: EdgeMobileNet, teacher: SFace, x: Tensor, y: Tensor, rng: np.random.Generator
) -> None:
    """The wide network's last layers, behind a reconstruction of its last map."""
    places = _places(x, rng)
    back, shift, _ = _solved(_rows(x, places), _rows(y, places))
    first: Any = teacher.bn1
    norm: Any = teacher.fc1
    linear, gain = teacher.pre_fc1, _gain(first)
    weights = linear.weight.reshape(len(linear.weight), len(gain), -1) * _gain(norm)[:, None, None]
    student.head.weight.copy_(torch.einsum("ocp,kc->okp", weights * gain[:, None], back).flatten(1))
    bias = first.bias + gain * (shift[0] - first.running_mean)
    student.head.bias.copy_(
        torch.einsum("ocp,c->o", weights, bias)
        + _gain(norm) * (linear.bias - norm.running_mean)
        + norm.bias
    )
