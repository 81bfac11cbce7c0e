"""Values and orientation of decoded images, against numpy."""

import struct

import numpy as np
import pytest
from PIL import Image

from posenfs.data.geometry import ImageSize
from posenfs.data.pixels import StoredImage, load_image
from posenfs.data.sample import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
ORIENTATION = 0x0112
STORED, TURNED = ImageSize(40, 60), ImageSize(60, 40)


def saved(path, image, format=None, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, format, **options)
    return path


def decoded(path, annotated=None):
    return load_image(path, annotated).permute(1, 2, 0).numpy()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def write_tiff(path, content, width, height, bits, tags=(), samples=1):
    """Write an uncompressed TIFF of one strip by hand; tags are (number, type, value)."""
    photometric = 2 if samples == 3 else 1
    entries = [(256, 3, width), (257, 3, height), (259, 3, 1), (262, 3, photometric)]
    entries += [(277, 3, samples), (278, 3, height), (279, 4, len(content)), *tags]
    data_offset = 8 + 2 + 12 * (len(entries) + 2) + 4
    extra = struct.pack("<3H", *[bits] * 3) if samples == 3 else b""
    entries += [(273, 4, data_offset + len(extra))]
    fields = [
        (number, struct.pack("<HHI", number, kind, 1), value) for number, kind, value in entries
    ]
    bits_value = data_offset if samples == 3 else bits
    fields.append((258, struct.pack("<HHI", 258, 3, samples), bits_value))
    directory = b"".join(
        head + (struct.pack("<f", value) if isinstance(value, float) else struct.pack("<I", value))
        for _, head, value in sorted(fields)
    )
    header = b"II*\0" + struct.pack("<IH", 8, len(fields))
    path.write_bytes(header + directory + bytes(4) + extra + content)
    return path


@pytest.mark.parametrize(
    ("orientation", "turns", "mirrored"),
    [(1, 0, 0), (2, 0, 1), (3, 2, 0), (4, 2, 1), (5, 3, 1), (6, 3, 0), (7, 1, 1), (8, 1, 0)],
)
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "compressed.tif"])
def test_the_annotated_size_decides_about_the_exif_orientation(
    tmp_path, name, orientation, turns, mirrored
):
    options = {"a.webp": {"lossless": True}, "compressed.tif": {"compression": "tiff_lzw"}}
    path = saved(tmp_path / name, PIXELS, exif=exif(orientation), **options.get(name, {}))
    upright = np.rot90(PIXELS, turns)
    upright = upright[:, ::-1] if mirrored else upright
    np.testing.assert_array_equal(decoded(path), upright)
    np.testing.assert_array_equal(decoded(path, ImageSize(123, 45)), upright)
    with Image.open(path) as image:
        stored = StoredImage.read(image)
    assert stored == (STORED, orientation)
    swaps = orientation >= 5
    assert stored.used_size() == (TURNED if swaps else STORED)
    for annotated in (STORED, TURNED):
        pixels = decoded(path, annotated)
        as_stored = swaps and annotated == STORED
        np.testing.assert_array_equal(pixels, PIXELS if as_stored else upright)
        assert stored.used_size(annotated) == pixels.shape[:2]
        assert stored.is_turned(annotated) is (orientation > 1 and not as_stored)


def test_a_square_image_is_turned_whatever_its_annotated_size(tmp_path):
    path = saved(tmp_path / "a.png", PIXELS[:, :40], exif=exif(6))
    np.testing.assert_array_equal(decoded(path, ImageSize(40, 40)), np.rot90(PIXELS[:, :40], 3))


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_is_ignored(tmp_path, orientation):
    path = saved(tmp_path / "a.png", PIXELS, exif=exif(orientation))
    np.testing.assert_array_equal(decoded(path), PIXELS)


def test_images_of_eight_bits(tmp_path):
    as_rgb = {
        "grey.png": (GREY, np.dstack([GREY] * 3)),
        "one_bit.png": (
            Image.fromarray(GREY > 127),
            np.dstack([np.where(GREY > 127, 255, 0)] * 3),
        ),
    }
    cmyk = np.dstack([PIXELS, GREY // 2])
    ink = (255 - cmyk[..., :3].astype(int)) * (255 - cmyk[..., 3:].astype(int)) / 255
    as_rgb["cmyk.tif"] = (Image.fromarray(cmyk, "CMYK"), np.rint(ink))
    for name, (image, expected) in as_rgb.items():
        np.testing.assert_allclose(decoded(saved(tmp_path / name, image)), expected, atol=1)


def test_transparent_pixels_become_white(tmp_path):
    opacity = PIXELS[..., 1]
    share = opacity[..., None] / 255
    rgba = np.dstack([PIXELS, opacity])
    np.testing.assert_allclose(
        decoded(saved(tmp_path / "rgba.png", rgba)), PIXELS * share + 255 * (1 - share), atol=1
    )
    grey = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(opacity)])
    expected = np.dstack([GREY * share[..., 0] + 255 * (1 - share[..., 0])] * 3)
    np.testing.assert_allclose(decoded(saved(tmp_path / "la.png", grey)), expected, atol=1)
    colours = np.array([[10, 20, 30], [200, 100, 0], [0, 0, 255]], np.uint8)
    palette = Image.fromarray(GREY % 3, "P")
    palette.putpalette(colours.ravel().tolist())
    path = saved(tmp_path / "p.png", palette, transparency=1)
    shown = np.array([[10, 20, 30], [255, 255, 255], [0, 0, 255]])
    np.testing.assert_array_equal(decoded(path), shown[GREY % 3])
    np.testing.assert_array_equal(
        decoded(saved(tmp_path / "opaque.gif", palette)), colours[GREY % 3]
    )


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits(tmp_path, name):
    values = GREY.astype(np.uint16) * 257 - (GREY > 100) * np.uint16(120)
    expected = np.rint(values / 257)
    path = saved(tmp_path / name, values)
    np.testing.assert_array_equal(decoded(path), np.dstack([expected] * 3))


def test_sixteen_bits_with_a_transparent_value(tmp_path):
    values = GREY.astype(np.uint16) * 257
    path = saved(tmp_path / "a.png", values, transparency=int(values[0, 0]))
    expected = np.where(GREY[0, 0] == GREY, 255, GREY)
    np.testing.assert_array_equal(decoded(path)[..., 2], expected)


def test_twelve_bits(tmp_path):
    values = np.random.default_rng(1).integers(0, 4096, (40, 60))
    pairs = values.reshape(-1, 2)
    packed = np.column_stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    ).astype(np.uint8)
    expected = np.rint(values * 255 / 4095)
    path = write_tiff(tmp_path / "packed.tif", packed.tobytes(), 60, 40, 12)
    np.testing.assert_array_equal(decoded(path)[..., 0], expected)
    content = values.astype("<u2").tobytes()
    stated = write_tiff(tmp_path / "stated.tif", content, 60, 40, 16, [(281, 3, 4001)])
    np.testing.assert_array_equal(decoded(stated)[..., 0], expected)
    silent = write_tiff(tmp_path / "silent.tif", content, 60, 40, 16)
    with pytest.raises(DataError, match=r"silent.tif: its 16-bit values are \d+ to 40\d\d, where"):
        load_image(silent)
    with pytest.raises(DataError, match="16-bit values"):
        load_image(saved(tmp_path / "silent.png", values.astype(np.uint16)))


@pytest.mark.parametrize(("signed", "top"), [(False, 2**32 - 1), (True, 2**31 - 1)])
def test_thirty_two_bits(tmp_path, signed, top):
    values = (GREY.astype(np.int64) * top) // 255
    content = values.astype("<i4" if signed else "<u4").tobytes()
    tags = [(339, 3, 2)] if signed else []
    path = write_tiff(tmp_path / "full.tif", content, 60, 40, 32, tags)
    np.testing.assert_array_equal(decoded(path)[..., 1], GREY)
    small = GREY.astype("<i4").tobytes()
    path = write_tiff(tmp_path / "small.tif", small, 60, 40, 32, tags)
    with pytest.raises(DataError, match="its 32-bit values are 0 to 255, where white would be"):
        load_image(path)
    path = write_tiff(tmp_path / "stated.tif", small, 60, 40, 32, [*tags, (341, 4, 255)])
    np.testing.assert_array_equal(decoded(path)[..., 1], GREY)


def test_floats(tmp_path):
    path = saved(tmp_path / "a.tif", (GREY / 255).astype(np.float32))
    np.testing.assert_array_equal(decoded(path), np.dstack([GREY] * 3))
    tags = [(339, 3, 3), (341, 11, 255.0)]
    content = GREY.astype("<f4").tobytes()
    path = write_tiff(tmp_path / "stated.tif", content, 60, 40, 32, tags)
    np.testing.assert_array_equal(decoded(path)[..., 0], GREY)
    for values in (GREY.astype(float), GREY / 255 - 0.1, GREY / 255 * np.nan, GREY / 1e5):
        with pytest.raises(DataError, match="its float values are .*, where white would be 1, so"):
            load_image(saved(tmp_path / "b.tif", values.astype(np.float32)))


def test_colours_of_sixteen_bits(tmp_path):
    values = PIXELS.astype("<u2") * 257
    content = values.tobytes()
    path = write_tiff(tmp_path / "a.tif", content, 60, 40, 16, samples=3)
    np.testing.assert_array_equal(decoded(path), PIXELS)
    path = write_tiff(tmp_path / "b.tif", (values // 16).tobytes(), 60, 40, 16, samples=3)
    with pytest.raises(DataError, match="its 16-bit values are less than 4096, where"):
        load_image(path)


def test_black_stays_black(tmp_path):
    for values in (np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.float32)):
        assert not decoded(saved(tmp_path / "a.tif", values)).any()


def test_the_first_of_several_frames_is_read(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 90)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert (decoded(tmp_path / name) == 10).all()


def test_files_that_are_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>404 not found</html>")
    with pytest.raises(
        DataError, match="26 bytes .no format that Pillow reads.; copy it again, convert"
    ):
        load_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"no image at .*b.jpg; check its name"):
        load_image(tmp_path / "b.jpg")
    content = (GREY / 255).astype("<f8").tobytes()
    double = write_tiff(tmp_path / "double.tif", content, 60, 40, 64, [(339, 3, 3)])
    with pytest.raises(DataError, match="no format that Pillow reads.*eight-bit PNG or JPEG"):
        load_image(double)
