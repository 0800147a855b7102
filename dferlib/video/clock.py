"""The clock of a file, which may start again or jump where recordings were joined; here, time goes on."""

from collections.abc import Iterator

import av

STEP = 0.04  # seconds from a frame to the next where nothing tells
# Seconds from one frame to the next beyond which the clock has jumped. Where files may be joined as they are it is set
# anew at each join, and 10 s is FFmpeg's measure; elsewhere a gap is a gap, such as that of a camera at a nest.
JUMP, LONGEST = 10.0, 86_400.0
JOINED = ("mpegts", "mpeg")
BACK = 1.0  # seconds that a clock may go back by mistake; what is joined begins with a key frame
SOON = 1e-3  # seconds after the frame before, for one that is not later
FAR = 1 << 60  # units of a stream, about half of what fits into a number


class Clock:
    """Moves the times of a stream's packets, one after the other, so that they go on where the clock starts again.

    Args:
        kind: FFmpeg's name of the file's format.
    """

    def __init__(self, kind: str) -> None:
        self._longest = JUMP if kind in JOINED else LONGEST
        # in units of the stream
        self._shift = 0
        self._step = 0
        self._due: int | None = None  # when the packet before was to be decoded
        self._end: int | None = None  # of what was to be shown so far

    def move(self, packet: av.Packet) -> None:
        """Move the times of a packet, and say how long it is shown if it does not; one without times stays so."""
        shown = packet.pts if packet.pts is not None else packet.dts
        if shown is None or packet.time_base is None:
            return
        if max(abs(shown), abs(packet.dts or 0)) > FAR:  # only damage puts a frame there
            packet.pts = packet.dts = None
            return
        unit, passed = packet.time_base, 0
        if packet.dts is not None and self._due is not None:  # packets are sorted by this time, not by the other
            passed = packet.dts + self._shift - self._due
            if 0 < passed * unit <= self._longest:
                self._step = passed
        again = passed < 0 and (packet.is_keyframe or passed * unit < -BACK)
        if self._end is not None and (again or (shown + self._shift - self._end) * unit > self._longest):
            self._shift = self._end - shown
        if packet.dts is not None:
            packet.dts = self._due = packet.dts + self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        known = packet.duration if 0 < (packet.duration or 0) * unit <= self._longest else self._step
        packet.duration = known or round(STEP / unit)
        end = shown + self._shift + packet.duration
        self._end = end if self._end is None else max(self._end, end)


def timed(frames: Iterator[av.VideoFrame]) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with the seconds since the first, rising; none is left out.

    One without a time follows the one before as fast as that did, and one that is not later than the one before comes
    right after it.

    Args:
        frames: in the order in which they are shown.
    """
    start, last, step = None, None, STEP
    for frame in frames:
        due = last + step if last is not None else 0.0
        if frame.time is not None:
            start = frame.time - due if start is None else start
            due = frame.time - start
        if last is not None:
            due, step = max(due, last + SOON), due - last if due > last else step
        last = due
        yield due, frame
