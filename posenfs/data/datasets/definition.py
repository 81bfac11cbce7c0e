"""Keypoints and parts of custom data, which a run keeps: its TOML file may move or change."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.custom import read_description
from posenfs.data.sample import ROOT, DataError


@dataclass(frozen=True)
class DataDefinition:
    """What a network trained on custom data needs of their TOML file.

    Attributes:
        skeleton: The keypoints, mirrored pairs, limbs and sigmas.
        parts: The parts of the file; None: it has none.
    """

    skeleton: Skeleton
    parts: PartScheme | None

    def fields(self) -> dict[str, str]:
        """Return the fields of the TOML file but for `keypoints`, as text for messages."""
        skeleton = self.skeleton
        sigmas, parts = skeleton.oks_sigmas, self.parts or ()
        named_parts = [f"{part.name} = {_text(self._names(part.keypoints))}" for part in parts]
        return {
            "name": skeleton.name,
            "mirrored": self._pairs(skeleton.flip_pairs),
            "limbs": self._pairs(skeleton.limbs),
            "sigmas": "none" if sigmas is None else _text(f"{sigma:g}" for sigma in sigmas),
            "parts": "; ".join(named_parts) or "none",
        }

    def check(self, root: Path) -> None:
        """Check that a TOML file has these keypoints in this order.

        Args:
            root: The TOML file.

        Raises:
            DataError: It has others (the message names the first one), or is missing or invalid.
        """
        kept, read = self.skeleton.keypoints, read_definition(root).skeleton.keypoints
        if kept == read:
            return
        if len(kept) == len(read):
            number = next(n for n, name in enumerate(kept) if name != read[n])
            fault = f"number {number + 1} is {read[number]!r} there and {kept[number]!r} here"
        else:
            fault = f"it has {len(read)} keypoints and not {len(kept)}"
        raise DataError(
            f"the keypoints of {root} are {', '.join(read)}; the run or model was trained on "
            f"{', '.join(kept)}: {fault}. Restore that file, search under another name, "
            f"or choose another file with these keypoints: {ROOT}"
        )

    def changes(self, root: Path) -> Iterator[str]:
        """Compare with what a TOML file says today.

        Args:
            root: The TOML file.

        Yields:
            A sentence for each field that differs.

        Raises:
            DataError: The file is missing or invalid.
        """
        kept, read = self.fields(), read_definition(root).fields()
        for field, value in kept.items():
            if read[field] != value:
                yield (
                    f"{field} of {root} has changed since the training began: this run or model "
                    f"keeps {value}; a search under another name uses {read[field]}"
                )

    def _pairs(self, pairs: Iterable[tuple[int, int]]) -> str:
        """Return pairs as text; their order, and that in a pair, do not matter."""
        return _text(sorted(_text(sorted(self._names(pair))) for pair in pairs))

    def _names(self, keypoints: Iterable[int]) -> list[str]:
        return [self.skeleton.keypoints[keypoint] for keypoint in keypoints]


def read_definition(root: Path) -> DataDefinition:
    """Read keypoints and parts from a TOML file.

    Args:
        root: The TOML file.

    Raises:
        DataError: It is missing or invalid.
    """
    description = read_description(root)
    skeleton, parts = description.skeleton, description.parts
    return DataDefinition(skeleton, part_scheme(skeleton, parts) if parts else None)


def _text(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"
