"""Scenery of drawn people: backgrounds, seats, occluding objects, and the camera."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from posenfs.data.synthetic.rendering import Figure, Shape


def seat(figure: Figure) -> Shape:
    """Return a block to sit on, from below the pelvis to the feet.

    Args:
        figure: The sitting person.
    """
    pelvis, height = figure.joints["pelvis"], figure.height
    foot = max(figure.joints[f"{side}_ankle"][1] for side in ("left", "right"))
    top = pelvis[1] + 0.095 * height
    bottom = max(foot, top + 5)
    corners = [
        (pelvis[0] + sign * 0.13 * height, y, pelvis[2] - 0.1 * height)
        for sign in (1, -1)
        for y in (top, bottom)
    ]
    return Shape(np.array(corners), np.full(4, 0.03 * height), np.array([120.0, 95, 75]))


def occluder(rng: np.random.Generator, figure: Figure, height: int, z: float) -> list[Shape]:
    """Return a pole, a box or leaves in front of a person.

    Args:
        rng: The random generator.
        figure: The person.
        height: Height of the image in px.
        z: Depth of the object in px.
    """
    size = figure.height
    names = [
        *("left_knee", "right_knee", "left_elbow", "right_elbow"),
        *("pelvis", "left_ankle", "right_wrist"),
    ]

    x, y, _ = figure.joints[names[rng.integers(len(names))]]
    colour, second_colour = rng.uniform(20, 235, 3), rng.uniform(20, 235, 3)
    kind = rng.choice(["pole", "box", "leaves"])
    direction = np.array([rng.normal(), rng.normal(), 0.0])
    period = rng.uniform(5, 20)
    is_striped = rng.random() < 0.5
    stripes = (np.array([x, y, z]), direction, period, second_colour) if is_striped else None
    if kind == "pole":
        lean = rng.uniform(-30, 30)
        ends = np.array([(x + lean, -20, z), (x - lean, height + 20, z)])
        return [Shape(ends, np.full(2, rng.uniform(0.015, 0.045) * size), colour, stripes)]
    if kind == "box":
        half_width, half_height = rng.uniform(0.06, 0.17, 2) * size
        corners = [
            (x + sign_x * half_width, y + sign_y * half_height, z)
            for sign_x in (1, -1)
            for sign_y in (1, -1)
        ]
        return [Shape(np.array(corners), np.full(4, 3.0), colour, stripes)]
    green = np.array([rng.uniform(20, 110), rng.uniform(80, 170), rng.uniform(20, 80)])
    stems = np.array([x, y]) + rng.normal(0, 0.07 * size, (24, 2))
    tips = stems + rng.normal(0, 0.035 * size, (24, 2))
    radii = np.array([0.022, 0.006]) * size
    leaves = []
    for n, (stem, tip) in enumerate(zip(stems, tips, strict=True)):
        ends = np.array([(*stem, z + n), (*tip, z + n)])
        leaves.append(Shape(ends, radii, green * rng.uniform(0.7, 1.3)))
    return leaves


def background(rng: np.random.Generator, shape: tuple[int, int], clutter: int) -> np.ndarray:
    """Return a gradient with objects and textures.

    Args:
        rng: The random generator.
        shape: Height and width in px.
        clutter: Number of objects.

    Returns:
        float32 [H, W, 3].
    """
    height, width = shape
    top, bottom, side = [np.array(_random_colour(rng)) for _ in range(3)]
    corners = [[top, (2 * top + side) // 3], [bottom, (2 * bottom + side) // 3]]
    image = Image.fromarray(np.array(corners, dtype=np.uint8))
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    if clutter and rng.random() < 0.6:
        horizon = rng.uniform(0.45, 0.85) * height
        draw.rectangle((0, horizon, width, height), fill=_random_colour(rng))
    for _ in range(clutter):
        _draw_object(rng, draw, width, height)
    if clutter:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0, 2)))
    colour = np.asarray(image, dtype=np.float32).copy()
    for cells, max_strength in ((5, 26), (16, 14), (60, 9)) if clutter else ((4, 6),):
        strength = rng.uniform(0.2, 1) * max_strength
        noise = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        noise = noise.resize((width, height), Image.Resampling.BICUBIC)
        colour += strength * np.asarray(noise)[..., None]
    return colour


def _random_colour(rng: np.random.Generator) -> tuple[int, ...]:
    """A colour that is mostly muted, like rooms and streets."""
    colour = rng.uniform(40, 220) + rng.uniform(5, 45) * rng.standard_normal(3)
    return tuple(np.clip(colour, 5, 250).astype(int).tolist())


def _draw_object(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, image_width: int, image_height: int
) -> None:
    """Draw a box, a blob, stripes, windows or a limb-like bar as background clutter."""
    x, y = rng.uniform(0, image_width), rng.uniform(0, image_height)
    width, height = rng.uniform(10, 0.35 * image_width), rng.uniform(10, 0.5 * image_height)
    kind = rng.choice(["box", "blob", "stripes", "bar", "windows"])
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if kind == "box":
        draw.rectangle(box, fill=_random_colour(rng), outline=_random_colour(rng))
    elif kind == "blob":
        draw.ellipse(box, fill=_random_colour(rng))
    elif kind == "bar":
        line = (x, y, x + rng.normal(0, 50), y + rng.normal(0, 50))
        draw.line(line, _random_colour(rng), int(rng.integers(4, 16)))
    else:
        is_windows = kind == "windows"
        colour, step = _random_colour(rng), rng.uniform(7, 18)
        row_height = step * 0.6 if is_windows else height
        rows = np.arange(y - height / 2, y + height / 2, step if is_windows else height + 1)
        for column in np.arange(x - width / 2, x + width / 2, step):
            for row in rows:
                draw.rectangle((column, row, column + step / 2, row + row_height), fill=colour)


def photograph(
    colour: np.ndarray,
    rng: np.random.Generator,
    contrast: tuple[float, float],
    blur: float,
    noise: float,
) -> np.ndarray:
    """Apply contrast, brightness, tint, blur and noise at random.

    Args:
        colour: float32 [H, W, 3].
        rng: The random generator.
        contrast: Range of the contrast.
        blur: Largest blur in px.
        noise: Largest standard deviation of the noise in grey levels.

    Returns:
        uint8 [H, W, 3].
    """
    middle = colour.mean(axis=(0, 1)) * 0.5 + 64
    tint = rng.uniform(0.93, 1.07, 3) * rng.uniform(*contrast)
    colour = colour * tint.astype(np.float32)
    colour += (middle * (1 - tint) + rng.uniform(-14, 14)).astype(np.float32)
    image = Image.fromarray(np.clip(colour, 0, 255, out=colour).astype(np.uint8))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, blur)))
    grain = rng.standard_normal(colour.shape[:2], dtype=np.float32)[..., None]
    np.add(np.asarray(image), grain * np.float32(rng.uniform(0, noise)), out=colour)

    return np.clip(colour, 0, 255, out=colour).astype(np.uint8)
