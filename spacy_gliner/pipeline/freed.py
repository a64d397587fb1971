"""Memory that nobody uses and the C library keeps: it is given back to the system now and then."""

import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL

# Of two full passes.
PIECES = 4096
# How much of the time may go into giving back, which takes longer where there is more to look through.
SHARE = 0.01
# Of the GNU C library. Before it, aligned memory that was freed does not fit the next request of the same size, and
# torch asks for nothing else.
MENDED_IN = (2, 38)


class Freed:
    """Counts the pieces that were read and, of every so many, calls `give_back`; None where nothing is to be done.

    Where that takes long, it is done less often.
    """

    def __init__(self, give_back: Callable[[], object] | None, pieces: int = PIECES) -> None:
        self.give_back = give_back
        self.pieces = pieces
        self._n_read = 0
        self._not_before = 0.0

    def after(self, n_pieces: int) -> None:
        """To be called after a pass over so many pieces, when its results are no longer needed."""
        if self.give_back is None:
            return
        self._n_read += n_pieces
        begin = time.perf_counter()
        if self._n_read >= self.pieces and begin >= self._not_before:
            self._n_read = 0
            self.give_back()
            end = time.perf_counter()
            self._not_before = end + (end - begin) / SHARE


def trimming() -> Callable[[], object] | None:
    """What gives freed memory back; None where the C library is another one, or needs no help."""
    version = re.match(r"glibc (\d+)\.(\d+)", _c_library())
    if sys.platform != "linux" or version is None or tuple(map(int, version.groups())) >= MENDED_IN:
        return None
    with suppress(AttributeError, OSError):
        trim = CDLL(None).malloc_trim
        return lambda: trim(0)
    return None


def _c_library() -> str:
    """Its name and version, or nothing where it can't be asked."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""


freed = Freed(trimming())
