"""What a run leaves as Markdown, as a pipe gets it."""

from aks_postgres.cli.plain_text import plain_text
from aks_postgres.foreign_text import in_markdown


def test_a_pipe_gets_the_words_without_the_markup() -> None:
    found = plain_text(
        "# Tear-down of x\\_y\n\n"
        "Subscription **mine**. See [the page](<https://localhost/a>).\n\n"
        "![a picture](data:image/png;base64,AAAA)\n\n"
        "- one `code`\n- two\n\n"
        "| What | Name | Note |\n| --- | --- | --- |\n| Cluster | aks |  |\n| Public IP | pip | kept |\n\n"
        "```sh\naz login\n```\n"
    )
    assert found.split("\n\n") == [
        "Tear-down of x_y",
        "Subscription mine. See the page: https://localhost/a.",
        "- one code\n- two",
        "What       Name  Note\nCluster    aks\nPublic IP  pip   kept",
        "  az login",
    ]


def test_foreign_text_comes_out_as_it_was() -> None:
    text = "<b>*a*</b> | [x](y) & `z` # 1"
    assert plain_text(f"| Name |\n| --- |\n| {in_markdown(text)} |") == f"Name\n{text}"
