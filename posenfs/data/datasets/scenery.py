"""What stands around drawn people: backgrounds, seats, things in front of them, and the camera."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from posenfs.data.datasets.figures import Shape


def seat(figure: dict) -> Shape:
    """A block to sit on, from under the pelvis to the feet."""
    pelvis, h = figure["joints"]["pelvis"], figure["height"]
    foot = max(figure["joints"][f"{side}_ankle"][1] for side in ("left", "right"))
    top = pelvis[1] + 0.095 * h
    corners = [
        (pelvis[0] + s * 0.13 * h, y, pelvis[2] - 0.1 * h)
        for s in (1, -1)
        for y in (top, max(foot, top + 5))
    ]
    return Shape(np.array(corners), np.full(4, 0.03 * h), np.array([120.0, 95, 75]))


def occluder(rng: np.random.Generator, figure: dict, height: int, z: float) -> list[Shape]:
    """A pole, a box or leaves at depth z in front of a person, in a picture of that height."""
    h, joints = figure["height"], figure["joints"]
    names = (
        "left_knee",
        "right_knee",
        "left_elbow",
        "right_elbow",
        "pelvis",
        "left_ankle",
        "right_wrist",
    )
    x, y, _ = joints[names[rng.integers(len(names))]]
    colour, second = rng.uniform(20, 235, 3), rng.uniform(20, 235, 3)
    kind = rng.choice(["pole", "box", "leaves"])
    stripes = (
        np.array([x, y, z]),
        np.array([rng.normal(), rng.normal(), 0.0]),
        rng.uniform(5, 20),
        second,
    )
    stripes = stripes if rng.random() < 0.5 else None
    if kind == "pole":
        lean = rng.uniform(-30, 30)
        points, radii = (
            [(x + lean, -20, z), (x - lean, height + 20, z)],
            [rng.uniform(0.015, 0.045) * h] * 2,
        )
        return [Shape(np.array(points), np.array(radii), colour, stripes)]
    if kind == "box":
        half = rng.uniform(0.06, 0.17, 2) * h
        corners = np.array(
            [(x + s * half[0], y + t * half[1], z) for s in (1, -1) for t in (1, -1)]
        )
        return [Shape(corners, np.full(4, 3.0), colour, stripes)]
    green = np.array([rng.uniform(20, 110), rng.uniform(80, 170), rng.uniform(20, 80)])
    places = np.array([x, y]) + rng.normal(0, 0.07 * h, (24, 2))
    tips = places + rng.normal(0, 0.035 * h, (24, 2))
    ends = [
        np.array([(*a, z + n), (*b, z + n)])
        for n, (a, b) in enumerate(zip(places, tips, strict=True))
    ]
    radii = np.array([0.022, 0.006]) * h
    return [Shape(points, radii, green * rng.uniform(0.7, 1.3)) for points in ends]


def background(rng: np.random.Generator, size: tuple[int, int], clutter: int) -> np.ndarray:
    """float32 [H, W, 3] of size (width, height): a gradient, then that many things and textures."""
    width, height = size
    top, bottom, side = (np.array(_any_colour(rng)) for _ in range(3))
    ends = np.array(
        [[top, (2 * top + side) // 3], [bottom, (2 * bottom + side) // 3]], dtype=np.uint8
    )
    picture = Image.fromarray(ends).resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    if clutter and rng.random() < 0.6:
        horizon = rng.uniform(0.45, 0.85) * height
        draw.rectangle((0, horizon, width, height), fill=_any_colour(rng))
    for _ in range(clutter):
        _draw_thing(rng, draw, width, height)
    if clutter:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0, 2)))
    colour = np.asarray(picture, dtype=np.float32).copy()
    for cells, strongest in ((5, 26), (16, 14), (60, 9)) if clutter else ((4, 6),):
        strength = rng.uniform(0.2, 1) * strongest
        grain = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        colour += strength * np.asarray(grain.resize(size, Image.Resampling.BICUBIC))[..., None]
    return colour


def _any_colour(rng: np.random.Generator) -> tuple[int, ...]:
    """Mostly muted, as rooms and streets are."""
    colour = rng.uniform(40, 220) + rng.uniform(5, 45) * rng.standard_normal(3)
    return tuple(np.clip(colour, 5, 250).astype(int).tolist())


def _draw_thing(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int
) -> None:
    """A box, a blob, stripes or a limb-like bar: clutter that a detector must learn to pass over."""
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    w, h = rng.uniform(10, 0.35 * width), rng.uniform(10, 0.5 * height)
    kind = rng.choice(["box", "blob", "stripes", "bar", "windows"])
    if kind == "box":
        draw.rectangle(
            (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
            fill=_any_colour(rng),
            outline=_any_colour(rng),
        )
    elif kind == "blob":
        draw.ellipse((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=_any_colour(rng))
    elif kind == "bar":
        draw.line(
            (x, y, x + rng.normal(0, 50), y + rng.normal(0, 50)),
            _any_colour(rng),
            int(rng.integers(4, 16)),
        )
    else:
        colour, step = _any_colour(rng), rng.uniform(7, 18)
        rows = np.arange(y - h / 2, y + h / 2, step if kind == "windows" else h + 1)
        for column in np.arange(x - w / 2, x + w / 2, step):
            for row in rows:
                tall = step * 0.6 if kind == "windows" else h
                draw.rectangle((column, row, column + step / 2, row + tall), fill=colour)


def photograph(
    colour: np.ndarray,
    rng: np.random.Generator,
    contrast: tuple[float, float],
    blur: float,
    noise: float,
) -> np.ndarray:
    """Contrast, brightness, tint, blur (px), grain (grey levels): float32 [H, W, 3] -> uint8."""
    middle = colour.mean(axis=(0, 1)) * 0.5 + 64
    tint = rng.uniform(0.93, 1.07, 3) * rng.uniform(*contrast)
    colour = colour * tint.astype(np.float32)
    colour += (middle * (1 - tint) + rng.uniform(-14, 14)).astype(np.float32)
    image = Image.fromarray(np.clip(colour, 0, 255, out=colour).astype(np.uint8))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, blur)))
    grain = rng.standard_normal(colour.shape[:2], dtype=np.float32)[..., None] * np.float32(
        rng.uniform(0, noise)
    )
    np.add(np.asarray(image), grain, out=colour)
    return np.clip(colour, 0, 255, out=colour).astype(np.uint8)
