"""What figures have in common: layout and colours (plotly), figures without pyplot (matplotlib)."""

import io

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

LOSS_TITLE = "loss (Eq. 6, squared score × px)"
TICKS = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]  # of log axes
# Okabe and Ito's palette, safe for colour-blind readers, without black (the mean) and pale yellow.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C8C8C")


def layout(title: str) -> dict:
    """Return the plotly layout that all figures share."""
    return {
        "title": {"text": title, "x": 0.01, "font": {"size": 17}},
        "template": "plotly_white",
        "height": 380,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 55},
        "legend": {"groupclick": "togglegroup"},
        "hovermode": "closest",
    }


def set_loss_axis(figure: go.Figure) -> None:
    """Title the first y axis of a figure, that of its losses; make it log if two ticks fit."""
    losses = [trace.y for trace in figure.data if trace.yaxis in (None, "y") and len(trace.y)]
    lowest = min(map(min, losses), default=0.0)
    highest = max(map(max, losses), default=0.0)
    visible = [tick for tick in TICKS if lowest <= tick <= highest]
    scale = {"type": "log", "tickvals": TICKS} if len(visible) > 1 else {}
    figure.update_layout(yaxis={"title": LOSS_TITLE, **scale})


class StaticFigure(Figure):
    """A figure that a notebook displays without pyplot, whose global state is not thread-safe."""

    def png(self) -> bytes:
        """Return the figure as a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    _repr_png_ = png


def frameless_axes(figure: StaticFigure, rows: int, columns: int) -> np.ndarray:
    """Return a grid [rows, columns] of axes without frames."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def draw_image(axes: Axes, image: Tensor, title: str) -> None:
    """Draw an image, uint8 [3, H, W], that fills its axes."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="bilinear")
    fit_axes(axes, image)
    axes.set_title(title, fontsize=9, color="black")


def fit_axes(axes: Axes, image: Tensor) -> None:
    """Limit axes to an image [3, H, W] and hide their frame."""
    height, width = image.shape[-2:]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
