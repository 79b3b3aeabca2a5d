"""haproxy's files: rendered, checked by the binary, put in place, and the last one it really ran brought back.

Nothing else writes below haproxy's configuration folder.
"""

from __future__ import annotations

from havip.agent import writing
from havip.agent.haproxy import check
from havip.agent.haproxy.context import Configuration
from havip.agent.haproxy.render import STATE_FILE, render, structure_digest
from havip.model.paths import Folders

NO_STATE = b"1\n"
"""A server state file that says nothing: haproxy warns when it is not there."""


def prepare(folders: Folders) -> None:
    """Writes the built-in empty configuration where there is none: haproxy starts before the agent knows anything."""
    if writing.current(folders.haproxy_config / STATE_FILE) is None:
        writing.replace(folders.haproxy_config / STATE_FILE, NO_STATE)
    if writing.current(folders.haproxy_config_file) is None:
        writing.replace(folders.haproxy_config_file, render(Configuration(), folders).encode())


class Files:
    def __init__(self, folders: Folders, *, binary: str) -> None:
        self._folders = folders
        self._binary = binary
        self._rendered: tuple[Configuration, bytes, str] | None = None
        self._good: bytes | None = None

    def render(self, wanted: Configuration) -> tuple[bytes, str]:
        """The file and its structure's digest; the last one is kept, because every round asks for it."""
        if self._rendered is None or self._rendered[0] != wanted:
            text = render(wanted, self._folders).encode()
            self._rendered = (wanted, text, structure_digest(wanted, self._folders))
        return self._rendered[1], self._rendered[2]

    async def put(self, wanted: Configuration) -> str:
        """Puts the file for `wanted` in place if the binary takes it; else why not. Raises `CannotCheck`."""
        text, _ = self.render(wanted)
        if writing.current(self._folders.haproxy_config_file) == text:
            return ""
        refusal = await self._check(text)
        if not refusal:
            writing.replace(self._folders.haproxy_config_file, text)
        return refusal

    async def refusal(self, wanted: Configuration) -> str:
        """Why the binary refuses `wanted`; nothing is put in place. Raises `CannotCheck`."""
        return await self._check(render(wanted, self._folders).encode())

    async def _check(self, text: bytes) -> str:
        trial = self._folders.haproxy_config / "haproxy.cfg.trial"
        writing.replace(trial, text)
        return await check.refusal(self._binary, trial)

    def runs(self, wanted: Configuration) -> None:
        """haproxy runs `wanted`: this is the file to come back to."""
        self._good = self.render(wanted)[0]

    def found_running(self, digest: str) -> None:
        """After a restart of the agent: the file that is there is good if haproxy says that it runs it."""
        if self._good is None:
            text = writing.current(self._folders.haproxy_config_file)
            if text is not None and digest and digest.encode() in text:
                self._good = text

    def bring_back(self) -> None:
        """haproxy did not start with the file that is in place: the next start of its container must not find it."""
        if self._good is not None:
            writing.replace(self._folders.haproxy_config_file, self._good)

    def hand_over_servers(self, text: str) -> None:
        """For one reload: who is up. Else the new worker would try the dead servers first, until its checks failed."""
        writing.replace(self._folders.haproxy_config / STATE_FILE, text.encode())

    def forget_servers(self) -> None:
        """Not for the next start of the container: by then it would be an old story."""
        writing.replace(self._folders.haproxy_config / STATE_FILE, NO_STATE)
