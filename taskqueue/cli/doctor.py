"""`taskqueue doctor`: whether everything is as it has to be, and what helps where it is not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, EitherConfig
from taskqueue.cli.doctor_subject import Subject
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.output import Output, OutputFormat, chosen, print_data, print_records
from taskqueue.config.problems import did_you_mean
from taskqueue.config.settings import process_environment, scheduler_settings_of, worker_settings_of
from taskqueue.config.yaml_source import read_document
from taskqueue.core.doctor import CHECKS_BY_ID, Finding, Severity, worst
from taskqueue.errors import ConfigError

#: where the management API is, for who asks often; its password may stand in it
MANAGEMENT_VARIABLE: Final = "TASKQUEUE_MANAGEMENT_URL"

_WORKER_SECTIONS: Final = frozenset({"worker", "rate_limit", "execution"})

_STYLES: Final = {
    Severity.OK.value: "green",
    Severity.WARN.value: "yellow",
    Severity.FAIL.value: "bold red",
    Severity.SKIPPED.value: "dim",
}


def doctor(
    config: EitherConfig = SCHEDULER_YAML,
    output: Output = None,
    management: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="RabbitMQ's management API, which shows bindings, policies and alarms: http://HOST:15672, as the user "
            f"of queue.url; another one as http://USER:PASSWORD@HOST:15672 in {MANAGEMENT_VARIABLE}.",
            envvar=MANAGEMENT_VARIABLE,
            show_envvar=False,
            show_default=False,
        ),
    ] = None,
    rabbitmqctl: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="A rabbitmqctl that may talk to the broker; tells its consumer_timeout."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Make only this check, again for further ones.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at all keys and all users, however long that takes.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings as well.")] = False,
) -> None:
    """Look for what keeps jobs from running on time, and say what helps. Changes nothing, and ends within 15 s.

    Exit 0 when all is well, 1 when a check failed, 2 for wrong usage or configuration, 5 when neither RabbitMQ nor
    Redis answers. docs/doctor.md has every check.
    """
    from taskqueue.cli.doctor_examination import examine

    wanted = _wanted(only or ())
    subject = replace(_subject(config, wanted), management=management, rabbitmqctl=rabbitmqctl, full=full)
    found = asyncio.run(examine(subject))
    _show(found.findings, output)
    if not found.anything_reachable:
        raise typer.Exit(ExitCode.UNREACHABLE)
    bad = {Severity.FAIL, Severity.WARN} if strict else {Severity.FAIL}
    if worst(found.findings) in bad:
        raise typer.Exit(ExitCode.FAILED)


def _wanted(only: Sequence[str]) -> frozenset[str]:
    """Return the ids of the checks to make. Raises ConfigError for one that there is not."""
    for check in only:
        if check not in CHECKS_BY_ID:
            raise ConfigError(f"--only {check}: no such check; {did_you_mean(check, CHECKS_BY_ID)}")
    return frozenset(only) or frozenset(CHECKS_BY_ID)


def _subject(config: Path, wanted: frozenset[str]) -> Subject:
    """Return what the settings name. Raises ConfigError."""
    environ = process_environment()
    document = read_document(config)
    if isinstance(document.value, dict) and _WORKER_SECTIONS & document.value.keys():
        worker = worker_settings_of(document, environ)
        return Subject(
            redis=worker.redis,
            amqp_urls=worker.queue.candidates,
            call_timeout=worker.execution.timeout,
            wanted=wanted,
            environ=environ,
        )
    scheduler = scheduler_settings_of(document, config.parent, environ)
    return Subject(
        redis=scheduler.redis,
        amqp_urls=scheduler.queue.candidates,
        scheduler=scheduler,
        wanted=wanted,
        environ=environ,
    )


def _show(findings: Sequence[Finding], output: OutputFormat | None) -> None:
    """Print the findings; a table ends with how many there are of each severity."""
    form = chosen(output)
    if form is not OutputFormat.TABLE:
        print_data({"severity": worst(findings), "findings": [finding.as_dict() for finding in findings]}, form)
        return
    rows = [
        {"severity": each.severity, "check": each.check, "place": each.place, "found": _told(each)} for each in findings
    ]
    print_records(rows, form, styles=_STYLES)
    typer.echo(_summary(findings))


def _told(finding: Finding) -> str:
    return f"{finding.found}. Remedy: {finding.remedy}" if finding.remedy else finding.found


def _summary(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[severity]} {severity.value}" for severity in Severity)
