from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpd.search.query import LONGEST, Query, QueryError, parse_query


def test_the_sentence_is_read_as_the_titles_were() -> None:
    assert parse_query("  A red\tball ★ bouncing! ", title="title_clean") == Query(
        "A red ball ★ bouncing!", "A red ball bouncing"
    )
    assert parse_query("A red ball ★ bouncing!", title="title") == Query(*2 * ["A red ball ★ bouncing!"])


def test_where_cleaning_would_leave_nothing_the_sentence_stays() -> None:
    assert parse_query("ボール", title="title_clean") == Query("ボール", "ボール")


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u3000"])
def test_no_sentence(text: str) -> None:
    assert parse_query(text, title="title_clean") is None


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2Jb", "\x7f", "\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(QueryError, match="control"):
        parse_query(text, title="title_clean")


def test_longer_than_a_sentence() -> None:
    assert parse_query("a" * LONGEST, title="title_clean") is not None
    with pytest.raises(QueryError, match=str(LONGEST)):
        parse_query("a" * (LONGEST + 1), title="title_clean")


@given(st.text(max_size=LONGEST))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse_query(text, title="title_clean")
    except QueryError:
        return
    assert query is None or (query.read and query.typed)
