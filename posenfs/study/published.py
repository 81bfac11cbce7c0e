"""Other systems as their authors publish them."""

from dataclasses import dataclass

import pandas


@dataclass(frozen=True)
class Published:
    """A system as its authors publish it.

    Attributes:
        name: Its name.
        size: Input size, px.
        params_m: Parameters in millions.
        gmac: Multiply-adds at that input in billions (1e9).
        ap: COCO val AP.
        pckh: MPII val PCKh@0.5, on 256 x 256 px.
        note: A remark.
    """

    name: str
    size: str
    params_m: float
    gmac: float
    ap: float | None = None
    pckh: float | None = None
    note: str = ""

    @property
    def square_gmac(self) -> float:
        """Multiply-adds at MPII's 256 x 256 px.

        They scale with the pixels for convolutions; ViTPose's attention costs a little more.
        """
        return self.gmac * 256 / 192


# Recent systems for comparison; all numbers are quoted.
FRONTIER: tuple[Published, ...] = (
    Published("SimpleBaseline-50", "256 x 192", 34.0, 5.43, 70.4, 88.5),
    Published("HRNet-W32", "256 x 192", 28.5, 7.65, 74.4, 90.3),
    Published("Lite-HRNet-18", "256 x 192", 1.1, 0.20, 64.2, 85.9),
    Published("Lite-HRNet-30", "256 x 192", 1.8, 0.31, 67.6, 86.9),
    Published("RTMPose-t", "256 x 192", 3.3, 0.36, 68.5, note="more data"),
    Published("RTMPose-s", "256 x 192", 5.5, 0.68, 72.2, note="more data"),
    Published("RTMPose-m", "256 x 192", 13.6, 1.93, 75.8, note="more data"),
    Published("RTMPose-l", "256 x 192", 27.7, 4.16, 76.5, note="more data"),
    Published("ViTPose-S", "256 x 192", 24.0, 5.6, 73.8),
    Published("ViTPose-B", "256 x 192", 90.0, 18.5, 75.8, 93.3, "MPII: more data"),
    Published("ViTPose-L", "256 x 192", 309.0, 61.6, 78.3),
    Published("ViTPose-H", "256 x 192", 637.0, 126.0, 79.1),
)


def frontier_table() -> pandas.DataFrame:
    """Return other systems as their authors publish them."""
    frame = pandas.DataFrame([vars(system) for system in FRONTIER]).set_index("name")
    frame.columns = ["input px", "params M", "GMAC", "COCO val AP", "MPII val PCKh@0.5", "note"]
    square = [system.square_gmac for system in FRONTIER]
    frame.insert(3, "GMAC at 256 x 256 (MPII)", square)
    return frame
