"""A designer of part schemes: keypoints are assigned to parts on a drawn body."""

import html
from collections.abc import Iterable, Mapping

import ipywidgets as widgets

from posenfs.body.parts import Part, PartScheme, part_scheme
from posenfs.body.skeleton import MPII, Skeleton
from posenfs.messages import plain_name
from posenfs.viz.canvas import Point
from posenfs.viz.skeleton_graph import draw_parts
from posenfs.widgets.display import button, column, error_html, menu, row, show
from posenfs.widgets.plot import Drawing

_TABLE_1 = [(f"P = {count} of Table I", count) for count in (1, 3, 5, 8)]
_Parts = dict[str, tuple[str, ...]]


class PartDesigner:
    """Assigns keypoints to parts: a click, or Tab and Enter, adds or removes a keypoint.

    `parts` is the current design in the form of `Experiment(parts=…)`.

    Args:
        skeleton: The keypoints.
        parts: The initial parts: a number of parts in Table I, or keypoint names by part name.
        pose: Positions of keypoints that the drawn body lacks (x, y in head heights, y down).
    """

    def __init__(
        self,
        skeleton: Skeleton = MPII,
        parts: int | Mapping[str, Iterable[str]] = 3,
        pose: Mapping[str, Point] | None = None,
    ):
        self.skeleton, self.pose = skeleton, pose
        self._past: list[_Parts] = []  # the parts before each change
        self.parts: _Parts = {}
        self._build()
        self.set_parts(parts)
        self._past.clear()

    def scheme(self) -> PartScheme:
        """Return the part scheme.

        Raises:
            ValueError: A keypoint is in no part, or a part has no keypoint.
        """
        return part_scheme(self.skeleton, self.parts)

    # -- layout --------------------------------------------------------------------------------

    def _build(self) -> None:
        self.table = menu("", [("begin with …", None), *_TABLE_1], width="170px")
        self.part = widgets.ToggleButtons(options=[], style={"button_width": "auto"})
        self.name = widgets.Text(placeholder="name of a part", layout={"width": "180px"})
        self.buttons = {
            "add": button("Add part", "plus", "Add a part of this name, no keypoints", self._add),
            "rename": button("Rename", "pencil", "Rename the selected part", self._rename),
            "remove": button("Remove", "trash", "Remove the selected part", self._remove),
            "undo": button("Undo", "undo", "Undo the last change", self._undo),
        }
        self.body = Drawing("keypoint", self._toggle)
        self.facts, self.code, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.table.observe(lambda change: self._from_table(), "value")
        self.part.observe(lambda change: self._draw(), "value")
        layout = {"flex": "1", "min_width": "380px"}
        texts = widgets.VBox([self.facts, self.code], layout=layout)
        controls = row(self.table, self.name, *self.buttons.values())
        self.widget = column(controls, self.part, self.message, row(self.body, texts))

    def _ipython_display_(self) -> None:
        show(self.widget, self.static_html)

    def static_html(self) -> str:
        """Return the body and its parts as static HTML."""
        return self.body.svg + self.facts.value

    def _draw(self) -> None:
        selected = self.part.value
        parts = tuple(
            Part(name, tuple(map(self.skeleton.index, keypoints)))
            for name, keypoints in self.parts.items()
        )
        self.body.draw(draw_parts(self.skeleton, parts, selected, self.pose))
        self.facts.value = self._facts()
        lines = "".join(
            f"    {name!r}: {list(keypoints)!r},\n" for name, keypoints in self.parts.items()
        )
        style = "white-space: pre-wrap; word-break: normal"
        self.code.value = f"<pre style='{style}'>parts = {{\n{html.escape(lines)}}}</pre>"
        self.buttons["remove"].disabled = self.buttons["rename"].disabled = selected is None
        self.buttons["undo"].disabled = not self._past

    def _facts(self) -> str:
        """Return the counts, and the keypoints and parts that need attention, as HTML."""
        names = self.skeleton.keypoints
        parts_of = {
            keypoint: [
                plain_name(name) for name, members in self.parts.items() if keypoint in members
            ]
            for keypoint in names
        }
        unassigned = [plain_name(keypoint) for keypoint, parts in parts_of.items() if not parts]
        shared = [
            f"{plain_name(keypoint)} ({', '.join(parts)})"
            for keypoint, parts in parts_of.items()
            if len(parts) > 1
        ]
        empty = [plain_name(name) for name, keypoints in self.parts.items() if not keypoints]
        assigned = f"{len(names) - len(unassigned)} of {len(names)}"
        text = f"<p><b>{assigned}</b> keypoints in {len(self.parts)} parts</p>"
        if unassigned:
            text += error_html(f"in no part: {', '.join(unassigned)}")
        if empty:
            text += error_html(f"without a keypoint: {', '.join(empty)}")
        if shared:
            listing = html.escape("; ".join(shared))
            text += f"<p>in several parts, whose score maps are summed (Eq. 7): {listing}</p>"
        return text

    # -- actions -------------------------------------------------------------------------------

    def set_parts(self, parts: int | Mapping[str, Iterable[str]]) -> None:
        """Replace the parts.

        Args:
            parts: A number of parts in Table I, or keypoint names by part name.

        Raises:
            ValueError: Table I has no such number, or the skeleton has no such keypoint.
        """
        if isinstance(parts, int):
            scheme = part_scheme(self.skeleton, parts)
            keypoints = self.skeleton.keypoints
            parts = {part.name: tuple(keypoints[k] for k in part.keypoints) for part in scheme}
        new_parts = {name: tuple(keypoints) for name, keypoints in parts.items()}
        for keypoints in new_parts.values():
            for keypoint in keypoints:
                self.skeleton.index(keypoint)  # raises for an unknown keypoint
        self._change(new_parts)

    def _change(self, parts: _Parts, selected: str | None = None) -> None:
        """Replace the parts by a change that can be undone."""
        self._past.append(self.parts)
        self._show(parts, selected)

    def _show(self, parts: _Parts, selected: str | None = None) -> None:
        """Show the parts, with this part selected or, by default, the same one as before."""
        self.parts, self.message.value = parts, ""
        selected = selected or self.part.value
        self.part.options = [(plain_name(name), name) for name in parts]
        self.part.value = selected if selected in parts else next(iter(parts), None)
        self._draw()

    def _from_table(self) -> None:
        if self.table.value is not None:
            self.set_parts(self.table.value)
            self.table.index = 0

    def _toggle(self, node: str) -> None:
        """Add the keypoint of a node to the selected part, or remove it."""
        selected = self.part.value
        if selected is None:
            self.message.value = error_html("add a part first")
            return
        keypoint = self.skeleton.keypoints[int(node.rpartition("/")[2])]
        members = set(self.parts[selected]) ^ {keypoint}
        in_order = tuple(name for name in self.skeleton.keypoints if name in members)
        self._change(self.parts | {selected: in_order})

    def _new_name(self) -> str | None:
        """Return the name in the field; where it is no new name, show why and return None."""
        name = self.name.value.strip().replace(" ", "_")
        if not name or name in self.parts:
            reason = f"there is a part {name}" if name else "write the part's name first"
            self.message.value = error_html(reason)
            return None
        self.name.value = ""
        return name

    def _add(self) -> None:
        if (name := self._new_name()) is not None:
            self._change(self.parts | {name: ()}, name)

    def _rename(self) -> None:
        if (new_name := self._new_name()) is not None:
            selected = self.part.value
            parts = {
                new_name if name == selected else name: keypoints
                for name, keypoints in self.parts.items()
            }
            self._change(parts, new_name)

    def _remove(self) -> None:
        selected = self.part.value
        self._change(
            {name: keypoints for name, keypoints in self.parts.items() if name != selected}
        )

    def _undo(self) -> None:
        self._show(self._past.pop())
