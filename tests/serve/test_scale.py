import pytest

from serve.errors import Invalid
from serve.replicas.scale import Scale


def test_a_number_of_replicas_or_a_range_of_it() -> None:
    assert Scale.read("3") == Scale(3, 3)
    assert Scale.read("2:8") == Scale(2, 8)
    assert Scale.read("1").options() == {}
    assert Scale(3, 3).options() == {"num_replicas": 3}
    assert Scale(2, 8).options()["autoscaling_config"]["max_replicas"] == 8


@pytest.mark.parametrize("text", ["", "0", "two", "8:2", "0:2", "1:", "-1", "1:2:3", "99999"])
def test_what_is_no_number_of_replicas_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        Scale.read(text)
