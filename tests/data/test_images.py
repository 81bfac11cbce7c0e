"""Image files: rotated, grey, transparent, truncated and missing ones."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.images import exclude_broken_images, image_fault, image_faults
from posenfs.data.sample import DataError, load_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def saved(path, image, format=None, **options):
    image.save(path, format, **options)
    return path


def encoded(format):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("orientation", "turns", "mirrored"), [(1, 0, 0), (3, 2, 0), (6, 3, 0), (8, 1, 0), (2, 0, 1)]
)
def test_an_image_is_upright_by_its_exif_tag(tmp_path, orientation, turns, mirrored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.rot90(PIXELS, turns)
    image = (
        load_image(saved(tmp_path / "a.png", Image.fromarray(PIXELS), exif=exif))
        .permute(1, 2, 0)
        .numpy()
    )
    np.testing.assert_array_equal(image, expected[:, ::-1] if mirrored else expected)


def test_grey_and_transparent_images_become_rgb(tmp_path):
    grey = load_image(saved(tmp_path / "grey.jpg", Image.fromarray(PIXELS[..., 0]))).numpy()
    assert grey.shape == (3, 40, 60) and (grey == grey[:1]).all()
    deep = load_image(
        saved(tmp_path / "deep.png", Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 256 + 77))
    ).numpy()
    np.testing.assert_array_equal(deep[1], PIXELS[..., 0])
    alpha = np.dstack(
        [PIXELS, np.where(np.arange(60) < 30, 0, 255)[None].repeat(40, 0).astype(np.uint8)]
    )
    clear = (
        load_image(saved(tmp_path / "alpha.png", Image.fromarray(alpha))).permute(1, 2, 0).numpy()
    )
    assert (clear[:, :30] == 255).all() and (clear[:, 30:] == PIXELS[:, 30:]).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncated_and_damaged_files_are_found(tmp_path, format):
    whole, path = encoded(format), tmp_path / "a"
    path.write_bytes(whole)
    assert image_fault(path) is None
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        assert f"not a whole image, {length} bytes" in image_fault(path)
        with pytest.raises(DataError, match="is not a whole image"):
            load_image(path)
    if format == "PNG":  # its checksums reveal any damage
        path.write_bytes(whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 + 50 :])
        assert "not a whole image" in image_fault(path)
    path.write_bytes(b"<html>404 not found</html>")
    assert "not a whole image" in image_fault(path)
    path.write_bytes(whole + b"what a camera writes after the end")
    assert image_fault(path) is None
    assert image_fault(tmp_path / "b") == "missing"
    assert "not a whole image" in image_fault(tmp_path)  # a folder


def test_only_broken_images_are_found_among_many(tmp_path):
    whole = encoded("JPEG")
    paths = [tmp_path / f"{n}.jpg" for n in range(200)]
    for n, path in enumerate(paths):
        path.write_bytes(whole[:500] if n % 50 == 7 else whole)
    assert [path.stem for path in image_faults(paths, progress=False)] == [
        "7",
        "57",
        "107",
        "157",
    ]


@pytest.fixture
def broken_set(drawn, tmp_path):
    """A drawn set with one truncated and one missing training image."""
    shutil.copytree(drawn, tmp_path / "set")
    images = tmp_path / "set" / "images"
    (images / "train_000003.jpg").write_bytes((images / "train_000003.jpg").read_bytes()[:300])
    (images / "train_000005.jpg").unlink()
    return tmp_path / "set"


def test_people_of_broken_images_are_left_out_and_named(drawn, broken_set, capsys):
    train, valid = open_data(DataSpec("mpii", str(broken_set)), progress=False)
    whole = read_mpii(drawn, "train")
    lost = [
        whole.image_path(n).name in ("train_000003.jpg", "train_000005.jpg")
        for n in range(len(whole))
    ]
    assert sum(lost) and len(train) == len(whole) - sum(lost) and not valid.excluded
    assert train.excluded == {"broken or missing image": sum(lost)}
    np.testing.assert_array_equal(train.keypoints_image, whole.keypoints_image[~np.array(lost)])
    for n in range(len(train)):
        load_image(train.image_path(n))
    message = capsys.readouterr().err
    assert "drawn people (synthetic), train: 2 of 12 images cannot be used" in message
    assert (
        "train_000003.jpg: not a whole image, 300 bytes" in message
        and "train_000005.jpg: missing" in message
    )


def test_strict_makes_a_broken_image_an_error(broken_set):
    with pytest.raises(
        DataError, match=r"2 of 12 images cannot be used.*train_000003.jpg.*--strict"
    ):
        open_data(DataSpec("mpii", str(broken_set)), progress=False, strict=True)


def test_a_folder_without_any_image_is_an_error(drawn, tmp_path):

    people = replace(read_mpii(drawn, "valid"), root=tmp_path)
    with pytest.raises(
        DataError, match=rf"6 of 6 images.*and 1 more. None is left: is {tmp_path} the folder"
    ):
        exclude_broken_images(people, progress=False)
