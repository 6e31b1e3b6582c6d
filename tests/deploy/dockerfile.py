"""Reads deploy/Dockerfile as far as the tests need it: stages, and the instructions of each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tests.deploy.rendering import DEPLOY, ROOT


@dataclass
class Stage:
    """Instructions in order; ``parent`` is the image or stage that it starts from."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [words for found, words in self.instructions if found == keyword]

    def command(self, keyword: str) -> list[str]:
        """Of ENTRYPOINT or CMD in the form that needs no shell."""
        (text,) = self.all(keyword)
        return list(json.loads(text))

    def copied(self) -> list[tuple[str, str]]:
        """Sources in the build's context, and where they go."""
        copies = [words.split() for words in self.all("COPY") if "--from" not in words]
        return [(source, words[-1]) for words in copies for source in words[:-1]]


def read() -> dict[str, Stage]:
    text = re.sub(r"(?m)^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text())
    stages: dict[str, Stage] = {}
    stage = Stage("", "")
    for line in re.sub(r"\\\n", " ", text).splitlines():
        keyword, _, words = line.strip().partition(" ")
        if keyword == "FROM":
            parent, _, name = words.split()
            stage = stages[name] = Stage(name, parent)
        elif keyword:
            stage.instructions.append((keyword, words.strip()))
    return stages


def base_image() -> str:
    found = re.search(r"(?m)^ARG PYTHON_IMAGE=(\S+)$", (DEPLOY / "Dockerfile").read_text())
    assert found
    return found[1]


def admitted() -> set[str]:
    """What .dockerignore lets into the build, all else being shut out."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines.index("*") < min(n for n, line in enumerate(lines) if line.startswith("!"))
    return {line[1:] for line in lines if line.startswith("!")}
