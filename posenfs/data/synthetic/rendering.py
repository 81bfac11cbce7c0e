"""Rendering of drawn people: solids, their conversion to px, and a canvas with depth."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

_CIRCLE = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=1)


@dataclass(frozen=True)
class Shape:
    """A solid: the convex hull of n balls. Two balls are a tapered limb."""

    points: np.ndarray  # [n, 3] centres
    radii: np.ndarray  # [n]
    colour: np.ndarray  # [3], 0 to 255
    stripes: tuple | None = None  # origin [3], direction [3], period, colour [3]
    paint: bool = False  # whether it only colours the body below, and occludes nothing


@dataclass(frozen=True)
class Canvas:
    """An image with depth."""

    colour: np.ndarray  # float32 [H, W, 3]
    depth: np.ndarray  # [H, W] px towards the viewer
    owner: np.ndarray  # [H, W] number of the visible person or object; 0 is the background


@dataclass(frozen=True)
class Figure:
    """A person placed in an image. The third coordinate is the depth, px towards the viewer."""

    pose: str
    height: float  # standing height, px
    head: float  # size of the head, relative to the usual one
    joints: dict[str, np.ndarray]  # [3] px each
    shapes: list[Shape]


def bounds(shapes: list[Shape]) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest x and y [2] of shapes without paint."""
    points = np.concatenate([shape.points[:, :2] for shape in shapes if not shape.paint])
    radii = np.concatenate([shape.radii for shape in shapes if not shape.paint])[:, None]
    return (points - radii).min(axis=0), (points + radii).max(axis=0)


def to_pixels(shape: Shape, height: float, origin: np.ndarray) -> Shape:
    """Convert a solid from body coordinates to px: x, y down, depth towards the viewer.

    Args:
        shape: The solid in body coordinates.
        height: Standing height of the person in px.
        origin: Position [3] of the pelvis in px.
    """
    axes = height * np.array([1, -1, 1])
    stripes = shape.stripes
    if stripes is not None:
        start, direction, period, colour = stripes
        stripes = (start * axes + origin, direction * axes, period * height, colour)
    radii = np.maximum(shape.radii * height, 0.8)
    return Shape(shape.points * axes + origin, radii, shape.colour, stripes, shape.paint)


def draw_shape(canvas: Canvas, shape: Shape, owner: int, light: np.ndarray) -> None:
    """Draw a solid where nothing nearer is drawn, with antialiased edges.

    Args:
        canvas: The canvas, which is changed.
        shape: The solid in px.
        owner: Number of the person or object, for the pixels in which it is visible.
        light: Direction [3] towards the light.
    """
    size = np.array(canvas.owner.shape)[::-1]
    low = np.maximum(np.floor((shape.points[:, :2] - shape.radii[:, None]).min(0)) - 1, 0).astype(
        int
    )
    high = np.minimum(
        np.ceil((shape.points[:, :2] + shape.radii[:, None]).max(0)) + 2, size
    ).astype(int)
    if (low >= high).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    x = np.arange(low[0], high[0], dtype=np.float32)[None]
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None]
    field = _limb_field if len(shape.points) == 2 else _hull_field
    distance, depth, normal_x, normal_y, normal_z = field(
        shape.points.tolist(), shape.radii.tolist(), x, y
    )
    # Paint may lie this far (px) below the surface of the body, whose depth is approximate.
    lift = 5.0 if shape.paint else 0.5
    alpha = np.clip(0.5 - distance, 0, 1) * np.clip(depth - canvas.depth[window] + lift, 0, 1)
    if shape.paint:
        alpha *= canvas.owner[window] == owner
    cosine = normal_x * light[0] + normal_y * light[1] + normal_z * light[2]
    shade = 0.6 + 0.45 * np.maximum(cosine, 0)
    pixels = canvas.colour[window]
    pixels += alpha[..., None] * (_surface_colour(shape, x, y) * shade[..., None] - pixels)
    if not shape.paint:
        visible = alpha > 0.5
        canvas.depth[window][visible] = depth[visible]
        canvas.owner[window][visible] = owner


def _surface_colour(shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The colour of pixels, with stripes."""
    colour = shape.colour.astype(np.float32)
    if shape.stripes is None:
        return colour
    origin, direction, period, second_colour = shape.stripes
    (ox, oy, _), (dx, dy, _) = origin.tolist(), direction.tolist()
    # From the projection in the image to the distance along the direction in 3D.
    stretch = np.linalg.norm(direction).item() / max(dx * dx + dy * dy, 4.0)
    along = ((x - ox) * dx + (y - oy) * dy) * stretch
    mix = np.clip(0.5 + 0.25 * period * np.sin(along * (2 * np.pi / period)), 0, 1)[..., None]
    return colour + mix * (second_colour.astype(np.float32) - colour)


def _limb_field(
    points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The geometry of a tapered limb at pixels.

    Returns:
        The distance to the edge (negative inside), the depth of the surface and the three
        components of its normal, [h, w] each.
    """
    (ax, ay, az), (bx, by, bz) = points
    dx, dy, dz = bx - ax, by - ay, bz - az
    flat = dx * dx + dy * dy + 1e-3
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / flat, 0, 1)
    radius = radii[0] + along * (radii[1] - radii[0])
    off_x, off_y = x - ax - along * dx, y - ay - along * dy
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    inverse = 1 / radius
    normal_z = np.sqrt(np.maximum(1 - np.square(distance * inverse), 0))
    # The line of sight cuts a limb that points at the viewer obliquely, so its surface is nearer.
    steep = min((1 + dz * dz / flat) ** 0.5, 3.0)
    nearest = max(az + radii[0], bz + radii[1])
    depth = np.minimum(az + along * dz + radius * normal_z * steep, nearest)
    return distance - radius, depth, off_x * inverse, off_y * inverse, normal_z


def _hull_field(
    points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The geometry of a slab at pixels, as `_limb_field` returns it.

    The surface is a plane fitted through the balls, as near as the nearest ball, and round at its
    edge.
    """
    balls, radius = np.array(points), float(np.mean(radii))
    corners = (balls[:, None, :2] + np.array(radii)[:, None, None] * _CIRCLE).reshape(-1, 2)
    distance = np.full((y.shape[0], x.shape[1]), -np.inf, dtype=np.float32)
    for nx, ny, offset in np.unique(ConvexHull(corners).equations.round(4), axis=0).tolist():
        np.maximum(distance, (nx * x + offset) + ny * y, out=distance)
    rim = np.clip(1 + distance / radius, 0, 1)
    normal_z = np.sqrt(1 - rim * rim)
    slope_y, slope_x = np.gradient(distance)
    centre = balls.mean(0)
    spread = balls - centre
    # Ridge regression: without the penalty, balls one behind the other give a vertical plane.
    ridge = spread[:, :2].T @ spread[:, :2] + len(balls) * radius**2 / 3 * np.eye(2)
    depth_x, depth_y = np.linalg.solve(ridge, spread[:, :2].T @ spread[:, 2]).tolist()
    lift = float(np.max(spread[:, 2] - spread[:, :2] @ [depth_x, depth_y]) + centre[2])
    plane_x = depth_x * (x - float(centre[0])) + lift
    depth = plane_x + depth_y * (y - float(centre[1])) + radius * normal_z

    return distance, depth, rim * slope_x, rim * slope_y, normal_z
