from __future__ import annotations

import pytest

from taskqueue.store import damage, keys

#: what is no key, what only workers and people write, and what is asked for by scripts that leave another type alone
NOT_THE_LEADERS = {
    "PREFIX",
    "USERS_PREFIX",
    "TASKS_SUFFIX",
    "_SETTINGS_MARK",
    "WORKER_PREFIX",
    "FLEET_WATCHED",
    "GLOBAL_LIMIT",
    "PROBE",
    "API_AUDIT",
    "API_DEPENDENTS_PREFIX",
    "API_STATS_PREFIX",
    "API_TOKENS",
}
LEADERS = sorted(
    name
    for name, value in vars(keys).items()
    if name.isupper() and isinstance(value, str) and name not in NOT_THE_LEADERS
)


@pytest.mark.parametrize("name", LEADERS)
def test_of_every_key_that_the_leader_reads_it_is_known_what_belongs_there(name: str) -> None:
    key = getattr(keys, name)
    assert damage._type_of(key + "x" if key.endswith(":") else key) is not None


@pytest.mark.parametrize("name", sorted(NOT_THE_LEADERS))
def test_what_is_not_the_leaders_has_no_type_that_belongs_there(name: str) -> None:
    assert damage._type_of(getattr(keys, name)) is None
