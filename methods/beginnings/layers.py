"""Which layers a setting names: `all`, `first:2`, `last:2`, or numbers from 0 such as `3,4,5`."""

from ..errors import InvalidSetting
from ..types import Place


def chosen_layers(setting: int | str, count: int, place: Place) -> tuple[int, ...]:
    """The numbers of the layers that a setting names among the `count` of a place, from the lowest up.

    Raises:
        InvalidSetting: it names no layer, one that is not there, or one twice.
    """
    written = str(setting).replace(" ", "")
    word, _, number = written.partition(":")
    layers = range(count)
    if written == "all":
        return tuple(layers)
    if word in ("first", "last") and number.isdecimal() and 1 <= int(number) <= count:
        return tuple(layers[: int(number)] if word == "first" else layers[count - int(number) :])
    numbers = written.split(",")
    if all(one.isdecimal() and int(one) < count for one in numbers) and len({*map(int, numbers)}) == len(numbers):
        return tuple(sorted(map(int, numbers)))
    raise InvalidSetting(
        f"layers {written!r} names no set of the {count} {place} layers",
        hint=f"write all, first:N, last:N, or numbers from 0 to {count - 1} such as 0,{count - 1}",
    )
