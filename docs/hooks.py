"""Pages of the site that lie outside docs/: their files, and the links to and from them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = [
    "benchmarks/README.md",
    "benchmarks/results/growth.svg",
    "data/README.md",
    "posenfs/assets/starter/CARD.md",
    "reports/LOG.md",
]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ under their path in the project."""
    root = Path(config.config_file_path).parent
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(root / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are written for the project's folders; in the site docs/ is the root."""
    if page.file.src_uri in OUTSIDE:
        return markdown.replace("](../docs/", "](../")
    if "/" in page.file.src_uri:
        return markdown
    return re.sub(r"\]\(\.\./", "](", markdown)
