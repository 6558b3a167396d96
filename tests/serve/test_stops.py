from hypothesis import example, given
from hypothesis import strategies as st

from serve.apis.stops import Until


@example(["ab", "b"], ["b", "abb"])
@given(st.lists(st.text("ab", max_size=4)), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_pieces_are_cut_where_the_whole_text_would_be(pieces: list[str], stops: list[str]) -> None:
    whole, until = "".join(pieces), Until(stops)
    said = [until.pass_on(piece) for piece in pieces]
    found = [(place + len(stop), place) for stop in stops if (place := whole.find(stop)) >= 0]
    assert "".join(said) + until.rest() == whole[: min(found)[1] if found else len(whole)]
    assert until.met == bool(found)


def test_only_what_may_begin_a_stop_is_held_back() -> None:
    until = Until(["END"])
    assert until.pass_on("a fEN") == "a f"
    assert until.pass_on("CE") == "ENC"  # "E" may begin it again
    assert until.pass_on("ND or more") == ""
    assert (until.met, until.pass_on("more"), until.rest()) == (True, "", "")
