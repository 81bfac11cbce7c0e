"""Image files whose annotated names have other folders, letters or Unicode forms."""

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.image_paths import find_images
from tests.data.hands import HAND, annotation, hand_file


def annotated(folder, *names):
    """Annotations of one person in each image."""
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    rows = [annotation(n, image_id=n) for n in range(len(names))]
    path = hand_file(folder, rows, images=images)
    return annotations_of_file(path, HAND, "hands", "hand", folder / "pictures")


def draw(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name, "PNG")


def found(folder, *names, folders=("pictures",)):
    """The path below the folder of the file of each name."""
    people = find_images(annotated(folder, *names), [folder / name for name in folders])
    paths = [people.image_path(n) for n in range(len(names))]
    return [path.resolve().relative_to(folder.resolve()).as_posix() for path in paths], people


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "pictures/a.jpg"),
        ("day/a.jpg", "pictures/day/a.jpg"),
        ("pictures/a.jpg", "pictures/a.jpg"),
        ("data/pictures/day/a.jpg", "pictures/day/a.jpg"),
        ("/home/anna/pictures/a.jpg", "pictures/a.jpg"),
        ("./a.jpg", "pictures/a.jpg"),
        ("C:\\Users\\Anna\\pictures\\a.jpg", "pictures/a.jpg"),
        ("C:/Users/Anna/pictures/day/a.jpg", "pictures/day/a.jpg"),
        ("pictures\\day\\a.jpg", "pictures/day/a.jpg"),
        ("\\\\server\\share\\day\\a.jpg", "pictures/day/a.jpg"),
        ("https://host.org/bucket/a.jpg?token=5", "pictures/a.jpg"),
        ("s3://bucket/day/a.jpg", "pictures/day/a.jpg"),
        ("file:///home/anna/a.jpg", "pictures/a.jpg"),
        ("a%20b.jpg", "pictures/a b.jpg"),
        ("https://host.org/100%25.jpg", "pictures/100%.jpg"),
        ("a.JPG", "pictures/a.jpg"),
        ("A.jpg", "pictures/a.jpg"),
        ("a.jpg", "pictures/a.JPG"),
        ("a.jpg", "pictures/day/a.jpg"),
        (
            unicodedata.normalize("NFC", "ärm.jpg"),
            "pictures/" + unicodedata.normalize("NFD", "ärm.jpg"),
        ),
        (
            unicodedata.normalize("NFD", "ärm.jpg"),
            "pictures/" + unicodedata.normalize("NFC", "ärm.jpg"),
        ),
    ],
)
def test_the_file_is_found(tmp_path, name, file):
    draw(tmp_path, file, "pictures/other.jpg")
    paths, people = found(tmp_path, name)
    assert paths == [file]
    is_exact = name in ("./a.jpg", file.removeprefix("pictures/"))
    assert bool(people.doubtful) is not is_exact
    if not is_exact:
        assert people.doubtful == {"image found by the end of its path, not by its whole path": 1}


def test_the_longest_end_of_the_path_counts(tmp_path):
    draw(tmp_path, "pictures/a.jpg", "pictures/day/a.jpg", "pictures/night/a.jpg")
    names = ["/x/night/a.jpg", "/x/day/a.jpg"]
    assert found(tmp_path, *names)[0] == ["pictures/night/a.jpg", "pictures/day/a.jpg"]
    assert found(tmp_path, "/x/y/a.jpg")[0] == ["pictures/a.jpg"]


def test_an_exact_name_comes_before_one_of_other_letters(tmp_path):
    draw(tmp_path, "pictures/a.jpg", "pictures/A.jpg", "pictures/b c.jpg", "pictures/b%20c.jpg")
    if len(list((tmp_path / "pictures").iterdir())) < 4:
        pytest.skip("the file system does not tell upper from lower case")
    assert found(tmp_path, "x/A.jpg", "b%20c.jpg")[0] == ["pictures/A.jpg", "pictures/b%20c.jpg"]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["day/a.jpg", "night/a.jpg"], ["a.jpg"]),  # two files fit
        (["day/a.jpg", "night/a.jpg"], ["noon/a.jpg"]),
        (["a.jpg"], ["b.jpg"]),
        (["a.jpg"], ["/home/anna/b.jpg"]),
        (["day/a.jpg"], ["night/a.jpg"]),  # a file of another folder
    ],
)
def test_a_file_that_may_be_another_is_not_taken(tmp_path, files, names):
    draw(tmp_path, "pictures/z.jpg", *(f"pictures/{file}" for file in files))
    people = find_images(annotated(tmp_path, *names), [tmp_path / "pictures"])
    assert not people.image_path(0).exists() and not people.doubtful
    assert people.image_path(0).is_relative_to(tmp_path / "pictures")


def test_a_file_is_taken_by_one_name_alone(tmp_path):
    """The missing night/a.jpg is not the image a.jpg, which the file lists too."""
    draw(tmp_path, "pictures/a.jpg")
    people = find_images(annotated(tmp_path, "a.jpg", "night/a.jpg"), [tmp_path / "pictures"])
    assert people.image_path(0).exists() and not people.image_path(1).exists()


def test_a_path_never_leaves_the_folders(tmp_path):
    draw(tmp_path, "secret.jpg", "pictures/z.jpg")
    name = str(tmp_path / "secret.jpg")
    people = find_images(annotated(tmp_path, name), [tmp_path / "pictures"])
    assert not people.image_path(0).exists()
    assert people.image_path(0).is_relative_to(tmp_path / "pictures")


def test_the_folder_with_the_images_is_the_root(tmp_path):
    """Roboflow puts the images of a split beside its annotation file."""
    draw(tmp_path, "train/a.jpg", "valid/a.jpg", "valid/b.jpg")
    paths, people = found(tmp_path, "a.jpg", "b.jpg", folders=(".", "train", "valid"))
    assert people.root == tmp_path / "train" and paths[0] == "train/a.jpg"
    assert not people.image_path(1).exists()  # not that of valid
    paths, people = found(tmp_path, "x/a.jpg", folders=(".", "valid"))
    assert people.root == tmp_path / "valid" and paths == ["valid/a.jpg"]


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".jpg", "/", "C:", "http://[", "%00.jpg", "?", "day/"]
)
def test_names_of_no_file(tmp_path, name):
    draw(tmp_path, "pictures/z.jpg")
    people = find_images(annotated(tmp_path, name), [tmp_path / "pictures", Path("/nowhere")])
    assert people.root == tmp_path / "pictures"
