import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.apis.tensors import Tensor, flat, pack, split, unpack
from serve.errors import Invalid

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_bytes_tensor_is_each_length_and_each_element() -> None:
    # "ab" has 2 bytes, "" none, "é" 2 in UTF-8; each length is a little-endian uint32
    packed = pack([b"ab", b"", "é".encode()])
    assert packed == b"\x02\0\0\0ab" + b"\0\0\0\0" + b"\x02\0\0\0\xc3\xa9"
    assert unpack(packed, "input") == ["ab", "", "é"]


@given(st.lists(TEXT))
def test_texts_come_back_as_they_went(texts: list[str]) -> None:
    tensor = Tensor("text", "BYTES", (len(texts),), texts)
    assert unpack(tensor.to_bytes(), "input") == tensor.to_json() == texts


@given(st.lists(TEXT, min_size=1, max_size=30))
def test_triton_writes_and_reads_the_same_bytes(texts: list[str]) -> None:
    from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

    theirs = serialize_byte_tensor(np.array([text.encode() for text in texts], dtype=np.object_)).item()
    ours = Tensor("text", "BYTES", (len(texts),), texts).to_bytes()
    assert ours == theirs
    assert [element.decode() for element in deserialize_bytes_tensor(ours)] == texts


@given(st.lists(st.floats(width=32)))
def test_numbers_are_32_bits_of_the_little_end(values: list[float]) -> None:
    raw = Tensor("scores", "FP32", (len(values),), values).to_bytes()
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), np.array(values, np.float32))


@given(st.binary())
def test_any_bytes_are_texts_or_refused_by_name(raw: bytes) -> None:
    try:
        texts = unpack(raw, "input 'text'")
    except Invalid as error:
        assert str(error) in ("input 'text' is not UTF-8", "input 'text' ends in the middle of an element")  # noqa: PT017 - either way is right
    else:
        assert pack(text.encode() for text in texts) == raw


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1))
def test_nested_and_flat_data_are_the_same_tensor(rows: list[list[str]]) -> None:
    shape = (len(rows), 3)
    assert flat(rows, shape, "input") == flat([text for row in rows for text in row], shape, "input")


@pytest.mark.parametrize("data", [[["a", "b"], ["c"]], [["a", "b"], "c"], [[["a"], ["b"]]], ["a", 1], [None], [{}]])
def test_data_of_another_form_is_refused(data: list[object]) -> None:
    with pytest.raises(Invalid, match="input"):
        flat(data, (1, 2), "input")


@given(st.binary(max_size=99), st.text(max_size=12))
def test_a_header_is_a_length_within_the_body_or_refused(body: bytes, header: str) -> None:
    try:
        head, behind = split(body, header)
    except Invalid:
        assert not (header.isascii() and header.isdigit() and int(header) <= len(body))
    else:
        assert head + behind == body
        assert len(head) == int(header)


def test_a_body_without_the_header_is_all_json() -> None:
    assert split(b"{}", None) == (b"{}", b"")
