"""What an error says, in one line: for messages that name it beside other things."""


def reason_of(error: BaseException, most: int = 200) -> str:
    """The first line of its words, of at most so many characters; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:most]
