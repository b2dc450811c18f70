"""What a run leaves as Markdown, for a pipe: the same words without the markup."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from aks_postgres.cli.columns import table


def plain_text(markdown: str) -> str:
    """Markdown as plain lines: no signs of headings and emphasis, tables in columns, links with their address."""
    parts: list[list[str]] = []
    rows: list[tuple[str, ...]] = []
    mark, is_in_list = "", False
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append(())
        elif token.type == "table_close":
            parts.append(table(rows[0], rows[1:]))
            rows = []
        elif token.type == "list_item_open":
            mark = "- "
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            parts.append([])
            is_in_list = True
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            is_in_list = False
        elif token.type in ("fence", "code_block"):
            parts.append([f"  {line}" for line in token.content.splitlines()])
        elif token.type == "inline":
            text = _words(token.children or [])
            if rows:
                rows[-1] = (*rows[-1], text)
            elif is_in_list:
                parts[-1].append(mark + text)
                mark = ""
            elif text:
                parts.append([text])
    return "\n\n".join("\n".join(lines) for lines in parts)


def _words(tokens: Sequence[Token]) -> str:
    text, address = "", ""
    for token in tokens:
        if token.type == "link_open":
            address = str(token.attrs["href"])
        elif token.type == "link_close":
            text += f": {address}"
        elif token.type in ("softbreak", "hardbreak"):
            text += " "
        elif token.type != "image":  # a picture is nothing in a pipe
            text += token.content
    return text.strip()
