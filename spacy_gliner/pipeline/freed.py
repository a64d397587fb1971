"""Memory that nobody uses and the C library keeps: it is given back to the system now and then."""

import os
import re
import sys
from collections.abc import Callable
from ctypes import CDLL

# Of two full passes: giving back what they leave behind takes about a hundredth of their time, if that.
PIECES = 4096
# Of the GNU C library. Before it, aligned memory that was freed does not fit the next request of the same size, and
# torch asks for nothing else.
MENDED_IN = (2, 38)


class Freed:
    """Counts the pieces that were read and, of every so many, calls `give_back`; None where nothing is to be done."""

    def __init__(self, give_back: Callable[[], object] | None, pieces: int = PIECES) -> None:
        self.give_back = give_back
        self.pieces = pieces
        self._n_read = 0

    def after(self, n_pieces: int) -> None:
        """To be called after a pass over so many pieces, when its results are no longer needed."""
        if self.give_back is None:
            return
        self._n_read += n_pieces
        if self._n_read >= self.pieces:
            self._n_read = 0
            self.give_back()


def trimming() -> Callable[[], object] | None:
    """What gives freed memory back; None where the C library is another one, or needs no help."""
    version = re.match(r"glibc (\d+)\.(\d+)", _c_library())
    if sys.platform != "linux" or version is None or tuple(map(int, version.groups())) >= MENDED_IN:
        return None
    trim = CDLL(None).malloc_trim
    return lambda: trim(0)


def _c_library() -> str:
    """Its name and version, or nothing where it can't be asked."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""


freed = Freed(trimming())
