"""Groups of WorkQueues, the oldest first: held against a plain dictionary that is sorted at each look."""

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.by_age import ByAge
from workqueue_operator.resource import Key

KEYS = st.builds(Key, st.sampled_from(["team", "other"]), st.sampled_from("abcd"))
PLACES = st.tuples(KEYS, st.sampled_from(["2026-01-01", "2026-01-02"]), st.none() | st.sampled_from(["x", "y"]))


@given(st.lists(PLACES, max_size=30))
def test_whatever_is_placed_each_key_is_in_its_last_group_by_age(placed: list[tuple[Key, str, str | None]]) -> None:
    by_age: ByAge[str] = ByAge()
    model: dict[Key, tuple[str, str | None]] = {}
    for key, created, group in placed:
        by_age.place(key, created, group)
        model[key] = created, group

    def members(group: str) -> list[Key]:
        found = [(created, str(key), key) for key, (created, place) in model.items() if place == group]
        return [key for _, _, key in sorted(found)]

    for group in ("x", "y"):
        assert by_age[group] == members(group)
        assert by_age.oldest(group) == next(iter(members(group)), None)
    filled = [group for group in ("x", "y") if members(group)]
    oldest = {group: (model[members(group)[0]][0], str(members(group)[0])) for group in filled}
    assert by_age.groups() == sorted(filled, key=lambda group: oldest[group])
