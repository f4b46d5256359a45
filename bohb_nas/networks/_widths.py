"""Numbers of channels that the hardware multiplies in whole tiles."""


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8, at least 8."""
    return max(8, 8 * int(channels / 8 + 0.5))
