"""Triton kernels for depthwise convolutions of images whose channels lie last in memory, both ways.

Images are [N, H, W, C], weights [K * K, C] with a row for each place of the filter. A program takes `STRIPS` strips of four pixels of a
row by `CHANNELS` channels: what a strip reads serves up to four of its pixels. Channels come as `vectors` of `VEC`, so that one compiled
form serves networks of any width, batches of any size and images of any side. Sums are made in fp32; those of the weights' gradient are
written down in parts, in an order that is always the same.
"""

import triton
import triton.language as tl

from bohb_nas.training.networks.kernels import _channels

_AT_ONCE = tl.constexpr(4)
"""Pixels of a strip; strides divide it."""


@triton.jit
def _strips(first, n_strips, tiles, rows, STRIPS: tl.constexpr):
    """Image, row and first column of strips [STRIPS], and whether they are there."""
    strip = first + tl.arange(0, STRIPS)
    return strip // tiles // rows, strip // tiles % rows, strip % tiles * _AT_ONCE, strip < n_strips


@triton.jit
def _pixels(images, image, row, column, there, height, width, channel, channels):
    """Pixels [STRIPS, CHANNELS] in fp32; zero beyond the border."""
    inside = there & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = ((image.to(tl.int64) * height + row) * width + column)[:, None] * channels + channel[None, :]
    return tl.load(images + place, mask=inside[:, None] & (channel < channels)[None, :], other=0.0).to(tl.float32)


@triton.jit
def _keep(images, found, image, row, column, there, height, width, channel, channels):
    place = ((image.to(tl.int64) * height + row) * width + column)[:, None] * channels + channel[None, :]
    tl.store(images + place, found.to(images.dtype.element_ty), mask=(there & (column < width))[:, None] & (channel < channels)[None, :])


@triton.jit
def _weighed(total, pixels, weights, at: tl.constexpr, K: tl.constexpr, channel, channels):
    """Adds to total pixels times the weights of column `at` of a row of weights, where it has that column."""
    if at >= 0 and at < K:
        total += pixels * tl.load(weights + at * channels + channel, mask=channel < channels, other=0.0)[None, :]
    return total


@triton.jit(do_not_specialize=["n_strips", "tiles", "vectors", "height", "width", "height_out", "width_out", "padding"])
def convolve(
    x, weights, out, n_strips, tiles, vectors, height, width, height_out, width_out, padding,
    K: tl.constexpr, STRIDE: tl.constexpr, STRIPS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """From x [N, H, W, C] out [N, H', W', C]; n_strips are those of out, `tiles` for each of its rows."""
    channels = vectors * VEC
    channel, _ = _channels(channels, CHANNELS)
    image, row_out, column_out, there = _strips(tl.program_id(0) * STRIPS, n_strips, tiles, height_out, STRIPS)
    total0 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total1 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total2 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total3 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    for i in range(K):
        row = row_out * STRIDE - padding + i
        of_row = weights + i * K * channels
        for u in tl.static_range(3 * STRIDE + K):
            column = column_out * STRIDE - padding + u
            pixels = _pixels(x, image, row, column, there, height, width, channel, channels)
            total0 = _weighed(total0, pixels, of_row, u, K, channel, channels)
            total1 = _weighed(total1, pixels, of_row, u - STRIDE, K, channel, channels)
            total2 = _weighed(total2, pixels, of_row, u - 2 * STRIDE, K, channel, channels)
            total3 = _weighed(total3, pixels, of_row, u - 3 * STRIDE, K, channel, channels)
    _keep(out, total0, image, row_out, column_out, there, height_out, width_out, channel, channels)
    _keep(out, total1, image, row_out, column_out + 1, there, height_out, width_out, channel, channels)
    _keep(out, total2, image, row_out, column_out + 2, there, height_out, width_out, channel, channels)
    _keep(out, total3, image, row_out, column_out + 3, there, height_out, width_out, channel, channels)


@triton.jit(do_not_specialize=["n_strips", "tiles", "vectors", "height", "width", "height_out", "width_out"])
def gradient_of_images(
    gradient, weights, out, n_strips, tiles, vectors, height, width, height_out, width_out,
    K: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, BEFORE: tl.constexpr,
    STRIPS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """From the gradient [N, H', W', C] out [N, H, W, C]; n_strips are those of every STRIDE-th row of out.

    Programs of the third axis have the rows of one remainder, which see the same rows i of the filter: those with row + PADDING - i a
    multiple of STRIDE. A strip sees `BEFORE` columns of the gradient before its first: (K - 1 - PADDING) // STRIDE.
    """
    channels = vectors * VEC
    channel, _ = _channels(channels, CHANNELS)
    apart = tl.program_id(2)
    image, row, column, there = _strips(tl.program_id(0) * STRIPS, n_strips, tiles, tl.cdiv(height, STRIDE), STRIPS)
    row = row * STRIDE + apart
    there = there & (row < height)
    total0 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total1 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total2 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total3 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    for i in range((apart + PADDING) % STRIDE, K, STRIDE):
        row_out = (row + PADDING - i) // STRIDE
        of_row = weights + i * K * channels
        for u in tl.static_range((PADDING + 3) // STRIDE + BEFORE + 1):
            column_out = column // STRIDE + u - BEFORE
            pixels = _pixels(gradient, image, row_out, column_out, there, height_out, width_out, channel, channels)
            total0 = _weighed(total0, pixels, of_row, PADDING + (BEFORE - u) * STRIDE, K, channel, channels)
            total1 = _weighed(total1, pixels, of_row, PADDING + (BEFORE - u) * STRIDE + 1, K, channel, channels)
            total2 = _weighed(total2, pixels, of_row, PADDING + (BEFORE - u) * STRIDE + 2, K, channel, channels)
            total3 = _weighed(total3, pixels, of_row, PADDING + (BEFORE - u) * STRIDE + 3, K, channel, channels)
    _keep(out, total0, image, row, column, there, height, width, channel, channels)
    _keep(out, total1, image, row, column + 1, there, height, width, channel, channels)
    _keep(out, total2, image, row, column + 2, there, height, width, channel, channels)
    _keep(out, total3, image, row, column + 3, there, height, width, channel, channels)


@triton.jit
def _paired(total, pixels, first, second, third, fourth, at: tl.constexpr, STRIDE: tl.constexpr):
    """Adds to total pixels times the gradient of the pixel of the strip that sees them `at` columns from its own place."""
    if at == 0:
        total += pixels * first
    if at == STRIDE:
        total += pixels * second
    if at == 2 * STRIDE:
        total += pixels * third
    if at == 3 * STRIDE:
        total += pixels * fourth
    return total


@triton.jit
def _sum(parts, total, channel, channels, at: tl.constexpr, K: tl.constexpr):
    if at < K:
        tl.store(parts + channel * K * K + at, tl.sum(total, 0), mask=channel < channels)


@triton.jit(do_not_specialize=["n_strips", "strips_each", "tiles", "vectors", "height", "width", "height_out", "width_out", "padding"])
def gradient_of_weights(
    x, gradient, parts, n_strips, strips_each, tiles, vectors, height, width, height_out, width_out, padding,
    K: tl.constexpr, STRIDE: tl.constexpr, STRIPS: tl.constexpr, CHANNELS: tl.constexpr, VEC: tl.constexpr,
):  # fmt: skip
    """Of `strips_each` strips of the gradient [N, H', W', C] the sums that are the weights' gradient: parts [programs, C, K * K].

    Programs of the third axis have a row of the filter each.
    """
    channels = vectors * VEC
    channel, _ = _channels(channels, CHANNELS)
    i = tl.program_id(2)
    total0 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total1 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total2 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total3 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total4 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total5 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    total6 = tl.zeros((STRIPS, CHANNELS), tl.float32)
    for ahead in range(0, strips_each, STRIPS):
        first = tl.program_id(0) * strips_each + ahead
        image, row_out, column_out, there = _strips(first, n_strips, tiles, height_out, STRIPS)
        d0 = _pixels(gradient, image, row_out, column_out, there, height_out, width_out, channel, channels)
        d1 = _pixels(gradient, image, row_out, column_out + 1, there, height_out, width_out, channel, channels)
        d2 = _pixels(gradient, image, row_out, column_out + 2, there, height_out, width_out, channel, channels)
        d3 = _pixels(gradient, image, row_out, column_out + 3, there, height_out, width_out, channel, channels)
        row = row_out * STRIDE - padding + i
        for u in tl.static_range(3 * STRIDE + K):
            pixels = _pixels(x, image, row, column_out * STRIDE - padding + u, there, height, width, channel, channels)
            total0 = _paired(total0, pixels, d0, d1, d2, d3, u, STRIDE)
            if K > 1:
                total1 = _paired(total1, pixels, d0, d1, d2, d3, u - 1, STRIDE)
            if K > 2:
                total2 = _paired(total2, pixels, d0, d1, d2, d3, u - 2, STRIDE)
            if K > 3:
                total3 = _paired(total3, pixels, d0, d1, d2, d3, u - 3, STRIDE)
            if K > 4:
                total4 = _paired(total4, pixels, d0, d1, d2, d3, u - 4, STRIDE)
            if K > 5:
                total5 = _paired(total5, pixels, d0, d1, d2, d3, u - 5, STRIDE)
            if K > 6:
                total6 = _paired(total6, pixels, d0, d1, d2, d3, u - 6, STRIDE)
    part = parts + tl.program_id(0) * channels * K * K + i * K
    _sum(part, total0, channel, channels, 0, K)
    _sum(part, total1, channel, channels, 1, K)
    _sum(part, total2, channel, channels, 2, K)
    _sum(part, total3, channel, channels, 3, K)
    _sum(part, total4, channel, channels, 4, K)
    _sum(part, total5, channel, channels, 5, K)
    _sum(part, total6, channel, channels, 6, K)
