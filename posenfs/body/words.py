"""Names, counts and errors as they stand in a sentence or a picture."""


def plain_name(name: str) -> str:
    """left_elbow -> left elbow, lower_limb_part -> lower limb."""
    return name.removesuffix("_part").replace("_", " ")


def many(count: int, one: str, several: str | None = None) -> str:
    """1 box, 2 boxes."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def reason_of(error: BaseException, most: int = 200) -> str:
    """The first line of an error's words, of at most so many characters; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:most]
