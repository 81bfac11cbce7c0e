"""Keypoints chosen into parts on a drawn body."""

import html
from collections.abc import Iterable, Mapping

import ipywidgets as widgets

from posenfs.body.parts import Part, PartScheme, part_scheme
from posenfs.body.skeleton import MPII, Skeleton
from posenfs.body.words import plain_name
from posenfs.show.canvas import Point
from posenfs.show.part_graph import draw_parts
from posenfs.workbench.display import button, column, in_red, menu, row, show
from posenfs.workbench.drawing import Drawing

_BEGIN = [("P = 1 of Table I", 1), ("P = 3 of Table I", 3), ("P = 5 of Table I", 5), ("P = 8 of Table I", 8)]


class PartDesigner:
    """Choose a part, then its keypoints: a click, or Tab and Enter, puts a keypoint in or takes it out.

    `parts` is what `Experiment(parts=…)` takes, as far as designed; `scheme()` the checked part scheme. `pose` places
    keypoints that the drawn body does not know (x, y in head heights, y down).
    """

    def __init__(
        self,
        skeleton: Skeleton = MPII,
        parts: int | Mapping[str, Iterable[str]] = 3,
        pose: Mapping[str, Point] | None = None,
    ):
        self.skeleton, self.pose = skeleton, pose
        self._past: list[dict[str, tuple[str, ...]]] = []  # what there was before each change
        self.parts: dict[str, tuple[str, ...]] = {}
        self._build()
        self.begin(parts)
        self._past.clear()

    def scheme(self) -> PartScheme:
        """Raises ValueError, by name, while a keypoint is in no part or a part has none."""
        return part_scheme(self.skeleton, self.parts)

    # -- what it looks like -----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.table = menu("", [("begin with …", None), *_BEGIN], width="170px")
        self.part = widgets.ToggleButtons(options=[], style={"button_width": "auto"})
        self.name = widgets.Text(placeholder="name of a part", layout={"width": "180px"})
        self.buttons = {
            "add": button("Add part", "plus", "A new part of this name, without keypoints", self._add),
            "rename": button("Rename", "pencil", "Give the chosen part this name", self._rename),
            "remove": button("Remove", "trash", "Take the chosen part away", self._remove),
            "undo": button("Undo", "undo", "Take back the last change", self._undo),
        }
        self.body, self.facts, self.code = Drawing("keypoint", self._toggle), widgets.HTML(), widgets.HTML()
        self.message = widgets.HTML()
        self.table.observe(lambda change: self._from_table(), "value")
        self.part.observe(lambda change: self._draw(), "value")
        words = widgets.VBox([self.facts, self.code], layout={"flex": "1", "min_width": "380px"})
        self.widget = column(
            row(self.table, self.name, *self.buttons.values()), self.part, self.message, row(self.body, words)
        )

    def _ipython_display_(self) -> None:
        show(self.widget, self.still)

    def still(self) -> str:
        """The body and its parts, as HTML that needs neither kernel nor widgets."""
        return self.body.svg + self.facts.value

    def _draw(self) -> None:
        chosen = self.part.value
        drawn = tuple(Part(name, tuple(map(self.skeleton.index, own))) for name, own in self.parts.items())
        self.body.draw(draw_parts(self.skeleton, drawn, chosen, self.pose))
        self.facts.value = self._facts()
        listed = "".join(f"    {name!r}: {list(own)!r},\n" for name, own in self.parts.items())
        self.code.value = (
            f"<pre style='white-space: pre-wrap; word-break: normal'>parts = {{\n{html.escape(listed)}}}</pre>"
        )
        self.buttons["remove"].disabled = self.buttons["rename"].disabled = chosen is None
        self.buttons["undo"].disabled = not self._past

    def _facts(self) -> str:
        names = self.skeleton.keypoints
        parts_of = {k: [plain_name(name) for name, own in self.parts.items() if k in own] for k in names}
        left_out = [plain_name(k) for k, own in parts_of.items() if not own]
        shared = [f"{plain_name(k)} ({', '.join(own)})" for k, own in parts_of.items() if len(own) > 1]
        empty = [plain_name(name) for name, own in self.parts.items() if not own]
        words = f"<p><b>{len(names) - len(left_out)} of {len(names)}</b> keypoints in {len(self.parts)} parts</p>"
        words += in_red(f"in no part: {', '.join(left_out)}") if left_out else ""
        words += in_red(f"without a keypoint: {', '.join(empty)}") if empty else ""
        if shared:
            words += f"<p>in several parts, whose score maps are summed (Eq. 7): {html.escape('; '.join(shared))}</p>"
        return words

    # -- what is done -----------------------------------------------------------------------------------------------

    def begin(self, parts: int | Mapping[str, Iterable[str]]) -> None:
        """Go on from a scheme of Table I, or from parts by their keypoints' names; raises ValueError for others."""
        if isinstance(parts, int):
            scheme = part_scheme(self.skeleton, parts)
            parts = {part.name: tuple(self.skeleton.keypoints[k] for k in part.keypoints) for part in scheme}
        for keypoint in (k for own in parts.values() for k in own):
            self.skeleton.index(keypoint)  # raises for an unknown one
        self._change({name: tuple(own) for name, own in parts.items()})

    def _change(self, parts: dict[str, tuple[str, ...]], chosen: str | None = None) -> None:
        self._past.append(self.parts)
        self._set(parts, chosen)

    def _set(self, parts: dict[str, tuple[str, ...]], chosen: str | None = None) -> None:
        self.parts, self.message.value = parts, ""
        kept = chosen or self.part.value
        self.part.options = [(plain_name(name), name) for name in parts]
        self.part.value = kept if kept in parts else next(iter(parts), None)
        self._draw()

    def _from_table(self) -> None:
        if self.table.value is not None:
            self.begin(self.table.value)
            self.table.index = 0

    def _toggle(self, node: str) -> None:
        keypoint, chosen = self.skeleton.keypoints[int(node.rpartition("/")[2])], self.part.value
        if chosen is None:
            self.message.value = in_red("add a part first")
            return
        own = self.parts[chosen]
        own = tuple(k for k in self.skeleton.keypoints if (k in own) != (k == keypoint))
        self._change(self.parts | {chosen: own})

    def _new_name(self) -> str | None:
        """The name in the field, or None, with a word why, where it cannot be a part's."""
        name = self.name.value.strip().replace(" ", "_")
        if not name or name in self.parts:
            self.message.value = in_red(f"there is a part {name}" if name else "write the part's name first")
            return None
        self.name.value = ""
        return name

    def _add(self) -> None:
        if (name := self._new_name()) is not None:
            self._change(self.parts | {name: ()}, name)

    def _rename(self) -> None:
        if (name := self._new_name()) is not None:
            chosen = self.part.value
            self._change({name if n == chosen else n: own for n, own in self.parts.items()}, name)

    def _remove(self) -> None:
        self._change({name: own for name, own in self.parts.items() if name != self.part.value})

    def _undo(self) -> None:
        self._set(self._past.pop())
