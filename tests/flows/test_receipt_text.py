"""The receipt of a tear-down as people read it, by itself: no sandbox."""

from aks_postgres.reports.receipt import Receipt, Removal
from aks_postgres.runs.receipt_text import receipt_text


def removal(name: str, reason: str = "") -> Removal:
    return Removal(what="thing", name=name, id=name, outcome="kept" if reason else "deleted", reason=reason)


def test_a_table_has_a_column_of_notes_where_there_is_one() -> None:
    text = receipt_text(
        Receipt(
            environment="cnpg-canadacentral",
            subscription="mine",
            generations=(1,),
            deleted=(removal("a"), removal("b")),
            soft_deleted=(),
            kept=(removal("c", "somebody else's"), removal("d")),
            not_found=(),
        )
    )
    assert "| What | Name |\n| --- | --- |\n| thing | a |\n| thing | b |" in text
    assert (
        "| What | Name | Note |\n| --- | --- | --- |\n| thing | c | somebody else's |\n| thing | d |  |"
        in text
    )
