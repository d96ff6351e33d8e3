"""The folder of a study: where each thing lies.

studies/NAME/
  study.json      what is compared, the command, what each strategy's search cost and chose
  config.yaml     the resolved configuration that all children start from
  statistics.json what the features learn from the training files
  children/       of each child: NAME.json (what it is), NAME.log (what it said), NAME/ (the folder of an ordinary run)
"""

from __future__ import annotations

from pathlib import Path

from recsys import config_file
from recsys.training import output

STUDY, CONFIG, STATISTICS, RESULT = "study.json", config_file.FILE_NAME, output.STATISTICS, output.RESULT


class StudyFolder:
    """Paths within a study's folder, and what is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        """The configuration that all children start from."""
        return self.path / CONFIG

    @property
    def statistics(self) -> Path:
        """The training files' statistics, measured once for all children."""
        return self.path / STATISTICS

    @property
    def study(self) -> Path:
        """The record of the study."""
        return self.path / STUDY

    @property
    def children(self) -> Path:
        """Where the children are."""
        return self.path / "children"

    def run(self, name: str) -> Path:
        """The run folder of a child."""
        return self.children / name

    def log(self, name: str) -> Path:
        """What a child said."""
        return self.children / f"{name}.log"

    def about(self, name: str) -> Path:
        """What a child is."""
        return self.children / f"{name}.json"

    def is_done(self, name: str) -> bool:
        """Whether a child has ended well: its result is written last."""
        return (self.run(name) / RESULT).exists()

    def names(self) -> list[str]:
        """All children that were ever started, in the order of their names."""
        return sorted(path.stem for path in self.children.glob("*.json"))
