"""Decoding of image files: their orientation, and their values as eight-bit RGB."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from posenfs.data.geometry import ImageSize
from posenfs.data.sample import DataError

# The exceptions that Pillow raises for a file that is not an image, or is incomplete.
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# How an image is turned upright, by the value of its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK = {  # the inverse turns; the others are their own
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
}
# A brightest value below this share of the format's range would become (almost) black.
_LEAST_SHARE = 1 / 16
_ROUNDING = 1e-3  # share of the range by which values may exceed it
# Tags of TIFF: bits of a value; the greatest value, of unsigned and of any values; its format.
_BITS, _TOP_VALUES, _SAMPLE_FORMAT = 258, (281, 341), 339
_TIFF_SIZE = 256, 257  # tags of width and height
_UNSIGNED = 1  # the default of the sample format


class PixelError(DataError):
    """A whole image whose values cannot be converted to eight bits."""


class StoredImage(NamedTuple):
    """How a file stores an image: the size in px before any turn, and the EXIF orientation."""

    size: ImageSize
    orientation: int  # 1: upright; 2 to 8: mirrored or turned

    @classmethod
    def read(cls, image: Image.Image) -> "StoredImage":
        """Read size and orientation of an opened image, before its pixels are loaded."""
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        orientation = orientation if orientation in _TURNS else 1
        width, height = image.size
        if image.format == "TIFF":  # Pillow gives the size after the turn
            width, height = (int(image.tag_v2[tag]) for tag in _TIFF_SIZE)  # type: ignore[attr-defined]
        return cls(ImageSize(height, width), orientation)

    @property
    def upright_size(self) -> ImageSize:
        """The size in px after the turn of the EXIF orientation."""
        height, width = self.size
        return ImageSize(width, height) if self.orientation >= 5 else self.size

    def is_turned(self, annotated: ImageSize | None = None) -> bool:
        """Return whether the image is turned upright.

        The annotated size decides: coordinates refer to the image as the labelling tool saw it. An
        image stays as stored if only the stored size is the annotated one. If the sizes do not
        tell (none is annotated, neither is the annotated one, or the turn keeps the size), the
        image is turned, as people see it.

        Args:
            annotated: The annotated size of the image, px; None where it is unknown.
        """
        if self.orientation == 1:
            return False
        return self.size != annotated or self.upright_size == annotated

    def used_size(self, annotated: ImageSize | None = None) -> ImageSize:
        """Return the size in px of the decoded image; arguments as of `is_turned`."""
        return self.upright_size if self.is_turned(annotated) else self.size

    def differs_from(self, annotated: ImageSize | None) -> bool:
        """Return whether the decoded image has another size than annotated."""
        return annotated is not None and self.used_size(annotated) != annotated


def load_image(path: Path, annotated: ImageSize | None = None) -> Tensor:
    """Decode an image. Of several frames the first is read.

    The EXIF orientation is applied as `StoredImage.is_turned` says. Transparent pixels become
    white. Values of more than eight bits are scaled by the range of their format.

    Args:
        path: The image file.
        annotated: The annotated size of the image, px; None where it is unknown.

    Returns:
        uint8 RGB [3, H, W].

    Raises:
        DataError: The file is missing or broken, or the range of its values is unknown.
    """
    if not path.is_file():
        raise DataError(f"no image at {path}; check its name and its folder")
    try:
        with Image.open(path) as image:
            pixels = decode(image, annotated)
    except PixelError as error:
        raise DataError(f"{path}: {error}") from None
    except IMAGE_ERRORS as error:
        raise DataError(
            f"{path} is {describe_damage(path, error)}; copy it again, convert it to an eight-bit "
            "PNG or JPEG, or drop it"
        ) from None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def describe_damage(path: Path, error: BaseException) -> str:
    """Return what is wrong with a file for which Pillow raised an error."""
    size = path.stat().st_size if path.is_file() else 0
    reason = str(error).replace(str(path), path.name)
    if size and isinstance(error, UnidentifiedImageError):
        reason = "no format that Pillow reads"
    return f"not a whole image, {size} bytes ({reason})"


def decode(image: Image.Image, annotated: ImageSize | None = None) -> np.ndarray:
    """Decode an opened image to uint8 RGB [H, W, 3]; arguments and errors as of `load_image`."""
    was_deep = is_deep(image)  # unknown after the pixels are loaded
    stored = StoredImage.read(image)
    turn = _TURNS.get(stored.orientation)
    is_turned = stored.is_turned(annotated)
    rgb = _to_rgb(image, was_deep)
    # Pillow turns TIFF files as it loads them, and drops the orientation.
    by_pillow = image.format == "TIFF" and ExifTags.Base.Orientation not in image.getexif()
    if turn is not None and is_turned and not by_pillow:
        rgb = rgb.transpose(turn)
    if turn is not None and by_pillow and not is_turned:
        rgb = rgb.transpose(_BACK.get(turn, turn))
    return np.array(rgb)


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened image, not loaded yet, has values of more than eight bits."""
    return image.mode[0] in "IF" or ";16" in _raw_mode(image)


def _raw_mode(image: Image.Image) -> str:
    """Return how Pillow names the layout of the values in the file, such as RGB;16B."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) else ""


def _to_rgb(image: Image.Image, was_deep: bool) -> Image.Image:
    if image.mode[0] in "IF":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    rgb = image.convert("RGB")
    if was_deep:  # Pillow keeps the upper byte of each colour
        brightest = int(np.asarray(rgb).max())
        if brightest < 256 * _LEAST_SHARE:
            raise PixelError(_range_message("16-bit", f"less than {256 * (brightest + 1)}", 65535))
    return rgb


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Scale the grey values of an image of mode I or F to uint8 [H, W].

    Raises:
        PixelError: The values exceed the range of their format, or the range is unknown: they use
            only its lowest sixteenth, as values of fewer bits in a larger number do.
    """
    kind, top = _value_range(image)
    values = np.asarray(image)
    if top == 2**32 - 1:  # Pillow gives unsigned values in a signed type
        values = values.view(np.uint32)
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    is_inside = low >= -_ROUNDING * top and high <= (1 + _ROUNDING) * top  # false for NaN
    if not is_inside or 0 < high < top * _LEAST_SHARE:
        raise PixelError(_range_message(kind, f"{low:g} to {high:g}", top))
    grey = np.rint(values * (255 / top)).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    return grey if transparent is None else np.where(values == transparent, 255, grey)


def _value_range(image: Image.Image) -> tuple[str, float]:
    """Return the kind of an image's values, and the value of white."""
    tags = getattr(image, "tag_v2", {})  # of TIFF alone
    stated = [tags[tag] for tag in _TOP_VALUES if tag in tags]
    top = float(np.ravel(stated[0])[0]) if stated else 0.0
    if image.mode == "F":
        return "float", top if top > 0 else 1.0
    bits = int(np.ravel(tags.get(_BITS, 16))[0])
    if image.mode == "I" and image.format != "PPM":  # Pillow scales those of PGM to 16 bits
        bits = 32
    default = _UNSIGNED if image.format == "TIFF" else 0
    if top > 0:  # the greatest value used, of a range of whole bits
        bits = min(bits, int(top).bit_length())
    elif bits == 32 and int(np.ravel(tags.get(_SAMPLE_FORMAT, default))[0]) != _UNSIGNED:
        return "32-bit", 2.0**31 - 1
    return f"{bits}-bit", 2.0**bits - 1


def _range_message(kind: str, values: str, top: float) -> str:
    return (
        f"its {kind} values are {values}, where white would be {top:g}, so that their range is "
        "unknown; convert it to eight bits, or give the greatest value as MaxSampleValue of a TIFF"
    )
