"""Generated blocks: only what stands between markers changes, and a wrong marker is named."""

from __future__ import annotations

import pytest

from service.cli.dev.docs.blocks import BlockError, names, render

PAGE = """# Title
before
<!-- generated: one -->
old
<!-- end -->
between
<!-- generated: two a b --><!-- end -->
after"""


def words(parameters) -> str:
    if "bad" in parameters:
        raise ValueError("bad is no word")
    return f"made of {', '.join(parameters)}"


MAKERS = {"one": lambda _: "new", "two": words}


def test_only_what_stands_between_markers_changes_and_twice_is_once() -> None:
    made = render(PAGE, MAKERS)
    assert made == (
        "# Title\nbefore\n<!-- generated: one -->\nnew\n<!-- end -->\nbetween\n"
        "<!-- generated: two a b -->\nmade of a, b\n<!-- end -->\nafter"
    )
    assert render(made, MAKERS) == made


def test_a_page_without_markers_stays_as_it_is() -> None:
    assert render("# Title\ntext\n", MAKERS) == "# Title\ntext\n"


def test_a_pages_blocks_are_known_by_name() -> None:
    assert names(PAGE) == {"one", "two"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PAGE.replace("one", "poems"), r"<!-- generated: poems -->: there is no such block; known are one, two"),
        (PAGE.replace("b --><!-- end -->", "b -->"), r"two a b -->: it is not followed by its <!-- end -->"),
        (PAGE.replace("old\n<!-- end -->", "old"), r"one -->: it is not followed by its"),
        (PAGE.replace("two a b", "two bad"), r"two bad -->: bad is no word"),
    ],
    ids=["unknown", "no end", "no end before the next", "words that make no sense"],
)
def test_a_wrong_marker_is_named(text: str, complaint: str) -> None:
    with pytest.raises(BlockError, match=complaint):
        render(text, MAKERS)
