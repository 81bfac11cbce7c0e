"""Image files: truncated, missing and doubtful ones."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from posenfs.body.skeleton import COCO
from posenfs.data.cache import CacheRequest
from posenfs.data.cache_files import build_caches
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.images import exclude_broken_images, image_doubts, inspect_image, inspect_images
from posenfs.data.loader import Crops, Loader
from posenfs.data.pixels import load_image
from posenfs.data.sample import Annotations, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(format):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncated_and_damaged_files_are_found(tmp_path, format):
    whole, path = encoded(format), tmp_path / "a"
    path.write_bytes(whole)
    assert inspect_image(path).fault is None
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        assert f"not a whole image, {length} bytes" in inspect_image(path).fault
        with pytest.raises(DataError, match="is not a whole image"):
            load_image(path)
    if format == "PNG":  # its checksums reveal any damage
        path.write_bytes(whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 + 50 :])
        assert "not a whole image" in inspect_image(path).fault
    path.write_bytes(b"<html>404 not found</html>")
    assert "not a whole image" in inspect_image(path).fault
    path.write_bytes(whole + b"what a camera writes after the end")
    assert inspect_image(path).fault is None
    assert inspect_image(tmp_path / "b").fault == "missing"
    assert "not a whole image" in inspect_image(tmp_path).fault  # a folder


def test_only_broken_images_are_found_among_many(tmp_path):
    whole = encoded("JPEG")
    paths = [tmp_path / f"{n}.jpg" for n in range(200)]
    for n, path in enumerate(paths):
        path.write_bytes(whole[:500] if n % 50 == 7 else whole)
    states = inspect_images(paths, progress=False)
    assert [path.stem for path, state in states.items() if state.fault] == [
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


def doubts_of(tmp_path, sizes, **options):
    """The doubts about one image, 60 x 40 px as stored, with and without annotated sizes."""
    for name in ("a.png", "a.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name, **options)
    people = people_of(tmp_path, ("a.png", "a.jpg"), sizes)
    return exclude_broken_images(people, progress=False).doubtful


def people_of(root, images, sizes):
    count = len(images)
    return Annotations(
        name="images",
        skeleton=COCO,
        root=root,
        images=images,
        image_index=np.arange(count),
        keypoints_image=np.zeros((count, 17, 2)),
        visibility=np.zeros((count, 17), np.uint8),
        boxes=np.tile([0.0, 0.0, 9.0, 9.0], (count, 1)),
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        image_sizes=None if sizes is None else np.array([sizes] * count, float),
    )


IGNORED = (
    "image whose EXIF orientation is ignored, because the annotated size is that of the raw pixels"
)
UNKNOWN = (
    "image turned by its EXIF orientation, although no annotated size tells whether the annotations "
    "are turned too"
)
OTHER = "image not of the annotated size"


@pytest.mark.parametrize(
    ("orientation", "sizes", "expected"),
    [
        (None, None, {}),
        (None, (60, 40), {}),
        (None, (40, 60), {OTHER: 2}),
        (1, (60, 40), {}),
        (6, (40, 60), {}),
        (6, (60, 40), {IGNORED: 2}),
        (6, None, {UNKNOWN: 2}),
        (6, (np.nan, 40), {UNKNOWN: 2}),
        (6, (20, 30), {OTHER: 2}),
        (3, (60, 40), {UNKNOWN: 2}),
        (3, (61, 40), {UNKNOWN: 2, OTHER: 2}),
    ],
)
def test_orientations_and_sizes_that_may_not_fit_the_annotations(
    tmp_path, orientation, sizes, expected
):
    exif = Image.Exif()
    exif[0x0112] = orientation or 1
    options = {} if orientation is None else {"exif": exif}
    assert doubts_of(tmp_path, sizes, **options) == expected


def test_an_orientation_behind_the_pixels_of_a_png(tmp_path):
    """Some programs write EXIF data as a chunk after the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    chunk, content = content[start:end], content[:start] + content[end:]
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])
    people = people_of(tmp_path, ("a.png",), (60, 40))
    assert exclude_broken_images(people, progress=False).doubtful == {IGNORED: 1}
    assert load_image(tmp_path / "a.png").shape == (3, 60, 40)


def test_a_resized_image_is_an_error_if_strict(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    people = people_of(tmp_path, ("a.png",), (120, 80))
    with pytest.raises(
        DataError,
        match=r"1 image not of the annotated size: a.png is 60 x 40 px, annotated 120 x 8",
    ):
        exclude_broken_images(people, strict=True, progress=False)


def test_frames_single_colours_and_unknown_ranges(tmp_path):
    frames = [Image.fromarray(PIXELS[..., number]) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(PIXELS).save(tmp_path / "fine.png")
    names = ("a.gif", "black.png", "dark.png", "fine.png")
    states = inspect_images([tmp_path / name for name in names], full=True, progress=False)
    faults = {path.name: state.fault for path, state in states.items() if state.fault}
    assert list(faults) == ["dark.png"] and "its 16-bit values are 0 to 255" in faults["dark.png"]
    assert image_doubts(people_of(tmp_path, names, None), states) == {
        "image with several frames, of which the first is read": 1,
        "image of a single colour": 1,
    }
    people = exclude_broken_images(people_of(tmp_path, names, None), progress=False)
    assert people.excluded == {"broken or missing image": 1}


def test_the_cache_and_the_images_give_the_same_crops_whichever_size_is_annotated(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "cache"))
    exif = Image.Exif()
    exif[0x0112] = 6
    # A white square at (10, 20) of the raw pixels, which is at (39 - 20, 10) of the turned ones.
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[18:23, 8:13] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for sizes, (x, y) in {(60, 40): (10, 20), (40, 60): (19, 10), None: (19, 10)}.items():
        people = replace(
            people_of(tmp_path, ("a.png",), sizes), boxes=np.array([[x - 6.0, y - 6, 12, 12]])
        )
        crops = Crops(people, ImageSize(30, 30))
        plain = crops[0, 0].images
        (cache,) = build_caches([CacheRequest(people, crops.size)], progress=False)
        assert plain[0, :, 15, 15].tolist() == [255] * 3 and plain[0, :, 1, 1].tolist() == [0] * 3
        (batch,) = Loader(crops, 1, cache=cache).once()
        assert (batch.images.int() - plain.int()).abs().max() <= 1
    assert len(list((tmp_path / "cache").glob("*/pixels.u8"))) == 3
