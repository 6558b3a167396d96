"""How a reference is read."""

import pytest

from registry import Invalid
from registry.references import ByAlias, ByDigest, ByNumber, check_name, parse


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("sentiment", ByAlias("sentiment", "production")),
        ("sentiment@staging", ByAlias("sentiment", "staging")),
        ("sentiment:7", ByNumber("sentiment", 7)),
        ("sentiment@sha256:ab12cd34", ByDigest("sentiment", "sha256:ab12cd34")),
        ("shared/news-2:12", ByNumber("shared/news-2", 12)),
        ("0.a_b-c", ByAlias("0.a_b-c", "production")),
        ("a" * 63, ByAlias("a" * 63, "production")),
    ],
)
def test_a_reference_names_an_alias_a_number_or_a_digest(text: str, reference: object) -> None:
    assert parse(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sentiment",
        "-sentiment",
        "sentiment:",
        "sentiment:0",
        "sentiment:-1",
        "sentiment:x",
        "sentiment@",
        "sentiment@sha256:ab12cd3",  # 7 digits
        "sentiment@sha256:" + "a" * 65,
        "sentiment@sha256:AB12CD34",
        "other/sentiment",
        "shared/",
        "a" * 64,
        "sentiment\n",
        "sentiment:99999999999999999999",
    ],
)
def test_anything_else_is_refused_with_the_four_forms(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "NAME:NUMBER" in caught.value.hint


def test_only_a_prompt_may_be_named_shared() -> None:
    assert check_name("shared/news", "prompt") == "shared/news"
    with pytest.raises(Invalid, match="is no task name"):
        check_name("shared/news", "task")
