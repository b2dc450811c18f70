"""A hook of MkDocs: a link to a file outside `docs` becomes the file's path, as the site doesn't have the file.

In the repository such links work as they are. One whose file isn't there is a warning, which fails the build.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

_log = logging.getLogger("mkdocs.plugins.outside_links")
_LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
_DOCS = Path(__file__).parent


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """The page's text with links out of `docs` replaced."""

    def replaced(link: re.Match[str]) -> str:
        target = (_DOCS / page.file.src_path).parent.joinpath(link[2]).resolve()
        if target.is_relative_to(_DOCS) and target.suffix != ".json":
            return link[0]
        if not target.exists():
            _log.warning("%s links to %s, which isn't there", page.file.src_path, link[2])
            return link[0]
        path = str(target.relative_to(_DOCS.parent))
        shown = link[1].strip("`")
        return f"`{path}`" if path.endswith(shown) else f"{link[1]} (`{path}`)"

    return _LINK.sub(replaced, markdown)
