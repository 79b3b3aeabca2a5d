"""A small parser of keepalived.conf for tests: what a file's shape is, independently of the renderer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r'"[^"\n]*"|[{}\n]|[^\s{}"]+')


@dataclass
class Block:
    """`lines` are the words of each statement, `blocks` what is nested, by the words before the brace."""

    head: tuple[str, ...] = ()
    lines: list[tuple[str, ...]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def block(self, *head: str) -> Block:
        (found,) = [block for block in self.blocks if block.head[: len(head)] == head]
        return found

    def value(self, keyword: str) -> str:
        (found,) = [line[1] for line in self.lines if line[0] == keyword]
        return found


def parse(text: str) -> Block:
    """keepalived's own rules: a comment starts with `#` or `!`, a statement ends with its line."""
    root = Block()
    open_blocks = [root]
    words: list[str] = []
    without_comments = "\n".join(re.split("[#!]", line)[0] for line in text.split("\n"))
    for word in [*_TOKEN.findall(without_comments), "\n"]:
        if word == "{":
            block = Block(tuple(words))
            open_blocks[-1].blocks.append(block)
            open_blocks.append(block)
            words = []
        elif word in ("\n", "}"):
            if words:
                open_blocks[-1].lines.append(tuple(words))
                words = []
            if word == "}":
                open_blocks.pop()
        else:
            words.append(word)
    assert len(open_blocks) == 1, "a brace is not closed"
    return root
