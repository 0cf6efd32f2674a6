from __future__ import annotations

import pytest
from pydantic import ValidationError

from taskqueue.config.catalog import interval_from_dict, parse_catalog
from taskqueue.config.models import TasksFile
from taskqueue.config.problems import Untold
from taskqueue.errors import ConfigError, InvalidValueError


def tasks(count: int) -> str:
    entry = "- {{id: t{}, interval: {{type: daily}}, config: {{endpoint: 'https://h/a'}}}}\n"
    return "".join(entry.format(number) for number in range(count))


def refusal_of(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_catalog(text, "tasks.yaml")
    return caught.value


def test_of_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    refusal = refusal_of("tasks:\n" + "- {}\n" * 1000)

    assert len(refusal.problems) == 100
    assert refusal.problems[0] == "tasks.yaml:2:3: tasks[0].config: is missing; add it"
    assert refusal.problems[99] == "tasks.yaml:35:3: tasks[33].id: is missing; add it"
    assert refusal.more == 2900
    assert str(refusal).splitlines()[99:] == [refusal.problems[99], "and 2,900 more; mend these first"]


def test_a_hundred_mistakes_are_all_told_wherever_they_are() -> None:
    refusal = refusal_of("tasks:\n" + "- 1\n" * 99 + tasks(250) + "- 1\n")

    assert (len(refusal.problems), refusal.more) == (100, 0)
    assert (
        refusal.problems[99] == "tasks.yaml:351:3: tasks[349]: must be a mapping, not a number; check the indentation"
    )
    assert refusal.lines == refusal.problems


def test_mistakes_behind_many_good_tasks_have_their_own_places() -> None:
    refusal = refusal_of("tasks:\n" + tasks(250) + "- {}\n" * 200)

    assert refusal.problems[0] == "tasks.yaml:252:3: tasks[250].config: is missing; add it"
    assert (len(refusal.problems), refusal.more) == (100, 500)


def test_no_more_mistakes_are_taken_from_pydantic_than_those_of_a_few_tasks() -> None:
    untold = Untold()

    with pytest.raises(ValidationError) as caught:
        TasksFile.model_validate({"tasks": [1] * 5000}, context=untold)

    assert (caught.value.error_count(), untold.count) == (100, 4900)


def test_a_file_of_many_good_tasks_has_them_all_in_their_order() -> None:
    catalog = parse_catalog("tasks:\n" + tasks(350), "tasks.yaml")

    assert list(catalog.tasks) == [f"t{number}" for number in range(350)]


def test_of_many_equal_ids_the_first_are_told_and_the_others_counted() -> None:
    refusal = refusal_of("tasks:\n" + tasks(1) * 250)

    assert refusal.problems[0] == "tasks.yaml:3:8: tasks[1].id: the id of tasks[0]; use another, ids are unique"
    assert (len(refusal.problems), refusal.more) == (100, 149)


def test_of_an_interval_with_many_mistakes_the_first_are_told_in_the_line() -> None:
    with pytest.raises(InvalidValueError) as caught:
        interval_from_dict({"type": "daily"} | {f"key{number}": 1 for number in range(1000)})

    told = str(caught.value).split(" | ")
    assert (len(told), told[10]) == (11, "and 990 more")
