"""libnftables through ctypes, where a subprocess would take 3 to 20 ms. The only file that calls it.

It knows nothing of VRRP. It must not be asked to list *rules*: nftables 1.0.6 aborts the whole process on an
assertion when it prints some raw payload expressions, and this process is PID 1.
"""

from __future__ import annotations

import ctypes
import ctypes.util

_NAMES = ("libnftables.so.1",)


class NftablesError(Exception):
    """libnftables refused a command; the message is its first line."""


class Nftables:
    """One libnftables context. A table with `flags owner` lives as long as it: the kernel removes it with us."""

    def __init__(self) -> None:
        library = _load()
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        self._library = library
        self._context = library.nft_ctx_new(0)
        if not self._context:
            raise NftablesError("libnftables gives no context")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, command: str) -> None:
        """Runs one command or one atomic batch of them. Raises `NftablesError`."""
        failed = self._library.nft_run_cmd_from_buffer(self._context, command.encode("ascii"))
        self._library.nft_ctx_get_output_buffer(self._context)
        error = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NftablesError(error.decode("utf-8", "replace").strip().partition("\n")[0] or "no reason given")

    def close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _load() -> ctypes.CDLL:
    for name in (*_NAMES, ctypes.util.find_library("nftables")):
        if name is None:
            continue
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NftablesError("libnftables is not installed (Debian: libnftables1)")
