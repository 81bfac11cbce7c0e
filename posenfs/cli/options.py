"""Groups of options that commands share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchOptions:
    """How a search runs and what it prints; only `devices` changes its numbers."""

    # Device: auto, cpu, cuda or cuda:N.
    device: str = "auto"
    # Number of GPUs, or of processes on the CPU, that share every batch. Batch statistics are
    # computed per process, so the results depend on this number. `torchrun -m posenfs.cli
    # search …` does the same.
    devices: int = 1
    # Number of processes that decode images, where crops are plain.
    workers: int = 0
    # Refuse data with broken or missing images, or with images of another size than annotated.
    # Otherwise the annotations of the former are reported and left out, and the latter counted.
    strict: bool = False
    # Disk space for cached crops, in GB, in data/cache or the folder that POSENFS_CACHE
    # names. If they need more, the user is asked at a terminal; elsewhere the search stops.
    cache_gb: float = 20.0
    # Run in a separate process, which outlives this one; `posenfs follow` and `posenfs
    # control` attach to it.
    detach: bool = False
    # Show no progress bar.
    quiet: bool = False
    # Print the final metrics as JSON.
    json: bool = False

    def __post_init__(self):
        if not self.cache_gb >= 0:
            raise ValueError(f"--cache-gb must not be negative; got {self.cache_gb:g}")


@dataclass(frozen=True)
class DataOptions:
    """The data set to evaluate on.

    With a name, the other options have the defaults of `posenfs search`. Without a name, they
    replace fields of the data set that the model was trained on.
    """

    # The data set: synthetic, synthetic_coco, synthetic_lsp, mpii, mpii_release, coco, lsp or
    # custom.
    name: str | None = None
    root: str | None = None  # The data set's folder; for custom data, the TOML file.
    images: tuple[int, int] | None = None  # The numbers of drawn training and validation images.
    difficulty: str | None = None  # The difficulty of drawn people: plain, default or hard.
    seed: int | None = None  # The seed of drawn people.
    detections: str | None = None  # A file of detected boxes to evaluate on, for COCO's format.
