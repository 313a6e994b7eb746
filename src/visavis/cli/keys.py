"""``visavis keys``: access keys of the service."""

from __future__ import annotations

from typing import Annotated

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home, messages
from visavis.errors import OptionError

app = typer.Typer(no_args_is_help=True, help="Access keys of `visavis serve`.")


@app.command()
def create(
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="verify, identify, enroll or admin; repeatable."),
    ],
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery", help="Name of a gallery that the key sees; repeatable; * for all."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Expiry: 90d, 12h, 2w, or a date.")
    ] = None,
    rate: Annotated[int, typer.Option("--rate", help="Most requests a minute.")] = 600,
    label: Annotated[str, typer.Option("--label", help="Who uses it, for you to read.")] = "",
    json: options.Json = False,
) -> None:
    """Make a key and print its token, once: only a hash of it is stored.

    Example: `visavis keys create --scope identify --gallery door --expires 90d`
    """
    from visavis.api.gallery import expiry_time
    from visavis.service.keys import store_in

    key, token = store_in(home()).create(
        scopes=scope,
        galleries=gallery or (),
        expires=None if expires is None else expiry_time(expires),
        rate=rate,
        label=label,
    )
    if json:
        echo_json({"token": token, **key.to_dict()})
        return
    console.print(token, markup=False)
    messages.print(
        f"key {key.id}: keep the token; it cannot be shown again. Send it as "
        "`Authorization: Bearer TOKEN`",
        markup=False,
    )


@app.command("list")
def list_(json: options.Json = False) -> None:
    """List all keys, with those that have expired or were revoked.

    Example: `visavis keys list`
    """
    from visavis.service.keys import store_in

    found = store_in(home()).entries()
    if json:
        echo_json([key.to_dict() | {"state": key.state} for key in found])
        return
    for key in found:
        words = [key.id, key.state, ",".join(key.scopes), ",".join(key.galleries) or "-"]
        words += [f"{key.rate}/min", key.expires or "never expires", key.label]
        console.print("  ".join(words).rstrip(), markup=False)
    if not found:
        console.print("no keys: the service is open on loopback only")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, or its token.")],
) -> None:
    """Refuse a key from now on, in running services as well.

    Example: `visavis keys revoke 3f9c0a7b21de`
    """
    from visavis.service.keys import store_in

    if not key:
        raise OptionError("no key", "`visavis keys list` shows their ids")
    words = key.split("_")
    gone = store_in(home()).revoke(words[1] if len(words) > 2 and words[0] == "vv" else key)
    console.print(f"revoked {gone.id}", markup=False)
