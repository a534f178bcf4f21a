"""WorkQueues in groups, the oldest first in each: a look-up costs what it finds, however many there are. Pure."""

from bisect import bisect_left, insort
from typing import Generic, TypeVar

from workqueue_operator.resource import Key

G = TypeVar("G")
#: When it was created (RFC 3339), and its key as text and as it is; no two are equal in the first two.
_Claim = tuple[str, str, Key]


class ByAge(Generic[G]):
    """Each key is in one group at most."""

    def __init__(self) -> None:
        self._groups: dict[G, list[_Claim]] = {}
        self._places: dict[Key, tuple[G, _Claim]] = {}

    def __getitem__(self, group: G) -> list[Key]:
        """The keys of a group, the oldest first."""
        return [claim[2] for claim in self._groups.get(group, ())]

    def oldest(self, group: G) -> Key | None:
        """The oldest of a group."""
        claims = self._groups.get(group)
        return claims[0][2] if claims else None

    def groups(self) -> list[G]:
        """The groups that have a key, that of the oldest first."""
        return sorted(self._groups, key=lambda group: self._groups[group][0])

    def place(self, key: Key, created: str, group: G | None) -> None:
        """Put the key into the group, and out of the one where it was; None: into no other."""
        if key in self._places:
            self._take_out(*self._places.pop(key))
        if group is not None:
            claim = (created, str(key), key)
            insort(self._groups.setdefault(group, []), claim)
            self._places[key] = group, claim

    def _take_out(self, group: G, claim: _Claim) -> None:
        claims = self._groups[group]
        del claims[bisect_left(claims, claim)]
        if not claims:
            del self._groups[group]
