"""Triton kernels for images whose channels lie last in memory: batch normalisation with the activation behind it, both ways.

Images are rows of channels, [rows, channels], one row for every pixel of every image. A program takes `ROWS` rows of `CHANNELS`
channels at a time. The number of channels comes as `vectors` of `VEC`, so that the compiler knows how many lie in line, and one
compiled form serves networks of any width. The activation keeps what lies between `low` and `high` (ReLU: 0 and infinity). What
programs add up is written down in parts, which every program of the kernel behind it adds for itself, in their order: a kernel in
between would take longer, and equal inputs give equal bits.
"""

import triton
import triton.language as tl


@triton.jit
def _channels(channels, CHANNELS: tl.constexpr):
    """The channels [CHANNELS] of a program, and whether they are there."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    return channel, channel < channels


@triton.jit
def _places(row, last, channel, there, channels):
    """Offsets [ROWS, CHANNELS] of rows [ROWS], and whether they are there."""
    return row[:, None] * channels + channel[None, :], (row < last)[:, None] & there[None, :]


@triton.jit
def _per_channel(numbers, which: tl.constexpr, channel, there, channels):
    """One row of numbers [n, channels] as [1, CHANNELS]."""
    return tl.load(numbers + which * channels + channel, mask=there, other=0.0)[None, :]


@triton.jit(do_not_specialize=["rows", "vectors", "rows_each"])
def statistics(x, parts, rows, vectors, rows_each, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr):
    """Sums of x - x[0] and of its square over `rows_each` rows: parts [programs, 2, channels]."""
    channels = vectors * VEC
    channel, there = _channels(channels, CHANNELS)
    origin = _per_channel(x, 0, channel, there, channels).to(tl.float32)
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    square = tl.zeros((ROWS, CHANNELS), tl.float32)
    first = tl.program_id(0).to(tl.int64) * rows_each
    last = tl.minimum(first + rows_each, rows)
    for ahead in range(0, rows_each, ROWS):
        place, mask = _places(first + ahead + tl.arange(0, ROWS), last, channel, there, channels)
        apart = tl.where(mask, tl.load(x + place, mask=mask, other=0.0).to(tl.float32) - origin, 0.0)
        total += apart
        square += apart * apart
    part = parts + tl.program_id(0) * 2 * channels + channel
    tl.store(part, tl.sum(total, 0), mask=there)
    tl.store(part + channels, tl.sum(square, 0), mask=there)


@triton.jit
def _added(parts, n_parts, channel, there, channels, PARTS: tl.constexpr, CHANNELS: tl.constexpr):
    """The sums [CHANNELS] of both halves of parts [n_parts, 2, channels]."""
    first = tl.zeros((PARTS, CHANNELS), tl.float32)
    second = tl.zeros((PARTS, CHANNELS), tl.float32)
    for begin in range(0, n_parts, PARTS):
        part = begin + tl.arange(0, PARTS)
        mask = (part < n_parts)[:, None] & there[None, :]
        place = parts + part[:, None] * 2 * channels + channel[None, :]
        first += tl.load(place, mask=mask, other=0.0)
        second += tl.load(place + channels, mask=mask, other=0.0)
    return tl.sum(first, 0), tl.sum(second, 0)


@triton.jit(do_not_specialize=["n_parts", "rows", "vectors", "rows_each", "low", "high", "momentum", "eps"])
def normalise(
    x, parts, weight, bias, out, affine, running_mean, running_var, n_batches,
    n_parts, rows, vectors, rows_each, low, high, momentum, eps,
    PARTS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """Writes activation(scale x + shift) to out, from the parts of `statistics`.

    The first program of each channel keeps mean, 1 / deviation, scale and shift in affine [4, channels], and has the running
    statistics follow.
    """
    channels = vectors * VEC
    channel, there = _channels(channels, CHANNELS)
    total, square = _added(parts, n_parts, channel, there, channels, PARTS, CHANNELS)
    apart = total / rows
    variance = tl.maximum(square / rows - apart * apart, 0.0, propagate_nan=tl.PropagateNan.ALL)
    mean = apart + tl.load(x + channel, mask=there, other=0.0).to(tl.float32)
    inverse = 1.0 / tl.sqrt(variance + eps)
    scale = inverse * tl.load(weight + channel, mask=there, other=0.0)
    shift = tl.load(bias + channel, mask=there, other=0.0) - mean * scale
    if tl.program_id(0) == 0:
        tl.store(affine + channel, mean, mask=there)
        tl.store(affine + channels + channel, inverse, mask=there)
        tl.store(affine + 2 * channels + channel, scale, mask=there)
        tl.store(affine + 3 * channels + channel, shift, mask=there)
        before = tl.load(running_mean + channel, mask=there, other=0.0)
        tl.store(running_mean + channel, before + momentum * (mean - before), mask=there)
        before = tl.load(running_var + channel, mask=there, other=0.0)
        tl.store(running_var + channel, before + momentum * (variance * rows / (rows - 1) - before), mask=there)
        if n_batches is not None:  # noqa: SIM102 - decided as this is compiled, unlike the next
            if tl.program_id(1) == 0:
                tl.store(n_batches, tl.load(n_batches) + 1)
    first = tl.program_id(0).to(tl.int64) * rows_each
    last = tl.minimum(first + rows_each, rows)
    for ahead in range(0, rows_each, ROWS):
        place, mask = _places(first + ahead + tl.arange(0, ROWS), last, channel, there, channels)
        z = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        z = tl.maximum(z, low, propagate_nan=tl.PropagateNan.ALL)  # what is not a number stays visible
        z = tl.minimum(z, high, propagate_nan=tl.PropagateNan.ALL)
        tl.store(out + place, z.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _passed(gradient, x, place, mask, mean, scale, shift, low, high):
    """Of x what it is beyond the mean, and of the gradient what passes the activation, both [ROWS, CHANNELS]."""
    value = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    z = value * scale + shift
    dz = tl.load(gradient + place, mask=mask, other=0.0).to(tl.float32)
    return value - mean, tl.where((z > low) & (z < high), dz, 0.0)


@triton.jit(do_not_specialize=["rows", "vectors", "rows_each", "low", "high"])
def gradient_sums(
    gradient, x, affine, parts, rows, vectors, rows_each, low, high, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr
):
    """Sums of dz and of dz (x - mean) / deviation over `rows_each` rows, dz what passes the activation: parts [programs, 2, channels]."""
    channels = vectors * VEC
    channel, there = _channels(channels, CHANNELS)
    mean = _per_channel(affine, 0, channel, there, channels)
    scale = _per_channel(affine, 2, channel, there, channels)
    shift = _per_channel(affine, 3, channel, there, channels)
    plain = tl.zeros((ROWS, CHANNELS), tl.float32)
    weighed = tl.zeros((ROWS, CHANNELS), tl.float32)
    first = tl.program_id(0).to(tl.int64) * rows_each
    last = tl.minimum(first + rows_each, rows)
    for ahead in range(0, rows_each, ROWS):
        place, mask = _places(first + ahead + tl.arange(0, ROWS), last, channel, there, channels)
        apart, dz = _passed(gradient, x, place, mask, mean, scale, shift, low, high)
        plain += dz
        weighed += dz * apart
    part = parts + tl.program_id(0) * 2 * channels + channel
    inverse = tl.load(affine + channels + channel, mask=there, other=0.0)
    tl.store(part, tl.sum(plain, 0), mask=there)
    tl.store(part + channels, tl.sum(weighed, 0) * inverse, mask=there)


@triton.jit(do_not_specialize=["n_parts", "rows", "vectors", "rows_each", "low", "high"])
def gradient_of_input(
    gradient, x, affine, parts, sums, out, n_parts, rows, vectors, rows_each, low, high,
    PARTS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """From the parts of `gradient_sums`, out = scale (dz - mean dz - (x - mean) / deviation times the mean of dz (x - mean) / deviation).

    The first program of each channel keeps the gradients of bias and weight in sums [2, channels].
    """
    channels = vectors * VEC
    channel, there = _channels(channels, CHANNELS)
    of_bias, of_weight = _added(parts, n_parts, channel, there, channels, PARTS, CHANNELS)
    if tl.program_id(0) == 0:
        tl.store(sums + channel, of_bias, mask=there)
        tl.store(sums + channels + channel, of_weight, mask=there)
    mean = _per_channel(affine, 0, channel, there, channels)
    scale = _per_channel(affine, 2, channel, there, channels)
    shift = _per_channel(affine, 3, channel, there, channels)
    plain = of_bias[None, :] / rows
    weighed = of_weight[None, :] * _per_channel(affine, 1, channel, there, channels) / rows
    first = tl.program_id(0).to(tl.int64) * rows_each
    last = tl.minimum(first + rows_each, rows)
    for ahead in range(0, rows_each, ROWS):
        place, mask = _places(first + ahead + tl.arange(0, ROWS), last, channel, there, channels)
        apart, dz = _passed(gradient, x, place, mask, mean, scale, shift, low, high)
        tl.store(out + place, (scale * (dz - plain - apart * weighed)).to(out.dtype.element_ty), mask=mask)
