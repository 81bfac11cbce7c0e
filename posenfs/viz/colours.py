"""Colours of the graphs, safe for colour-blind readers."""

from collections.abc import Callable, Sequence

from posenfs.body.parts import PartScheme

INK, GREY, PALE = "#1A1A1A", "#5F5F5F", "#BDBDBD"

# Colours of the candidate operations: Okabe and Ito's palette, safe for colour-blind readers.
# Vermilion and purple are left out because they mark transfers.
OPERATION_COLOURS = {
    "zero": "#DADADA",
    "skip": "#F0E442",
    "separable_3x3": "#0072B2",
    "dilated_3x3": "#56B4E9",
    "avg_pool_3x3": "#009E73",
    "max_pool_3x3": "#E69F00",
}
# The paper's colours of the transfers (Eq. 2); they differ in lightness as well as in hue.
TRANSFER_COLOURS = {"down": "#6A2FA0", "same": "#1A1A1A", "up": "#E0602B"}
CELL_COLOUR = "#8FB4D6"
_FURTHER_COLOURS = ("#7F3C8D", "#A5AA99", "#80BA5A", "#E68310")

# Colours of parts, safe for colour-blind readers; they repeat from the ninth part on.
PART_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6A2FA0",
    "#6B6B6B",
)

# Okabe and Ito's blue and vermilion, which differ in lightness too.
SIDE_COLOURS = {"left": "#0072B2", "right": "#D55E00"}


def operation_colour(operation: str, operations: Sequence[str]) -> str:
    """Return the colour of a candidate operation.

    Args:
        operation: Name of the operation.
        operations: All operations of the search space. A custom operation takes its colour by its
            position among the custom ones.
    """
    if operation in OPERATION_COLOURS:
        return OPERATION_COLOURS[operation]
    custom = [name for name in operations if name not in OPERATION_COLOURS]
    return _FURTHER_COLOURS[custom.index(operation) % len(_FURTHER_COLOURS)]


def part_colours(parts: PartScheme) -> dict[str, str]:
    """Return the colour of each part by name."""
    return {part.name: PART_COLOURS[index % len(PART_COLOURS)] for index, part in enumerate(parts)}


def limb_colours(parts: PartScheme) -> Callable[..., str]:
    """Return a function from the index of a keypoint, or those of a limb's ends, to its colour.

    It is the colour of the first part with all of them. A limb between two parts has the colour of
    its end's part, or of its start's; a keypoint of no part is grey.

    Args:
        parts: The parts.
    """
    colours = part_colours(parts)

    def colour_of(*indices: int) -> str:
        for wanted in (indices, indices[-1:], indices[:1]):
            for part in parts:
                if set(wanted) <= set(part.keypoints):
                    return colours[part.name]
        return GREY

    return colour_of


def blend(colour: str, weight: float) -> str:
    """Blend a colour "#RRGGBB" with white; a weight of 1 keeps the colour, 0 gives white."""
    channels = [weight * channel + (1 - weight) * 255 for channel in bytes.fromhex(colour[1:])]
    return "#" + "".join(f"{round(channel):02X}" for channel in channels)


def text_on(colour: str) -> str:
    """Return black or white, the more readable text colour on a background "#RRGGBB"."""
    red, green, blue = bytes.fromhex(colour[1:])
    return "#000000" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#FFFFFF"
