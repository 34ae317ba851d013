"""Captures what the C libraries below OpenCV write to standard error.

libjpeg reports damage in the middle of a file there and nowhere else, and then decodes on. Its messages are captured
per thread by our own stream in place of C's `stderr`; everything else passes through.
"""

import atexit
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_local = threading.local()


@contextmanager
def capture() -> Iterator[list[str]]:
    """Collect what this thread's C code writes in the block, instead of showing it."""
    said: list[str] = []
    outer = getattr(_local, "said", None)
    _local.said = said
    try:
        yield said
    finally:
        _local.said = outer


def _write(_cookie: int | None, text: int, size: int) -> int:
    message = ctypes.string_at(text, size)
    said: list[str] | None = getattr(_local, "said", None)
    if said is None:
        os.write(2, message)
    else:
        said.append(message.decode(errors="replace").strip())
    return size


_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_write_callback = _Write(_write)  # must live as long as the stream


class _Functions(ctypes.Structure):
    """glibc's cookie_io_functions_t."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _Write),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


def _install() -> None:
    libc = ctypes.CDLL(None)
    libc.fopencookie.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _Functions)
    libc.fopencookie.restype = ctypes.c_void_p
    libc.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    stream = libc.fopencookie(None, b"w", _Functions(None, _write_callback, None, None))
    if not stream:
        return
    unbuffered = 2
    libc.setvbuf(stream, None, unbuffered, 0)
    variable = ctypes.c_void_p.in_dll(libc, "stderr")
    original = variable.value
    variable.value = stream
    atexit.register(setattr, variable, "value", original)


# Only glibc has both this function and a `stderr` that may be replaced.
if "CS_GNU_LIBC_VERSION" in os.confstr_names:
    _install()
