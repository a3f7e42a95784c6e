"""`queueproof doctor`: can this server be examined, by whom, and how?"""

import sys
from typing import Annotated

import typer

from queueproof.cli.app import app, readable
from queueproof.cli.options import OUTPUT, ApiKey, Kind, Url, key_option, one_target


@app.command()
def doctor(
    context: typer.Context,
    url: Url = "",
    target: Kind = "",
    api_key: ApiKey = "",
    view_key: Annotated[str, key_option("view", "A key that may only read.")] = "",
    publish_key: Annotated[str, key_option("publish", "A key that may only publish.")] = "",
    consume_key: Annotated[str, key_option("consume", "A key that may only consume.")] = "",
    manage_key: Annotated[str, key_option("manage", "A key that may only manage.")] = "",
    foreign_key: Annotated[str, key_option("foreign", "A key of another tenant.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Looks, in a few seconds, whether a server can be reached and used, and what to do where it cannot.

    The way to it, each key's rights, rate limits, which verbs it has, whether its timed duties are done, its clock and
    its speed. Exits 0 when a run can begin, 3 when not. Without --url or --target the embedded server is looked at.
    """
    import msgspec

    from queueproof.conduct_doctor import doctor as examine
    from queueproof.report.checkup import show
    from queueproof.report.waiting import waiting

    keys = {
        "view": view_key, "publish": publish_key, "consume": consume_key, "manage": manage_key, "foreign": foreign_key,
    }  # fmt: skip
    given = {name: key for name, key in keys.items() if key}
    with waiting("looking at the server"):
        checkup, code = examine(url=one_target(context, url, target), kind=target, key=api_key, keys=given)
    with readable():
        if as_json:
            sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(checkup), indent=1) + b"\n")
        else:
            show(checkup)
    raise typer.Exit(code)
