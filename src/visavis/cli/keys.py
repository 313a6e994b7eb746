"""``visavis keys``: access keys of the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from visavis.cli import options
from visavis.cli.output import console, echo_json, home, messages
from visavis.errors import OptionError

_AWS_KEY: Final = "VISAVIS_AWS_KEY"  # the variable's name

AwsKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--aws-key-file",
        help="Key file from which secret access keys are derived: 32 bytes, raw, hexadecimal or "
        f"base64. Otherwise {_AWS_KEY} holds the key as text.",
    ),
]

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
    rate: Annotated[int, typer.Option("--rate", help="Most requests per minute.")] = 600,
    label: Annotated[str, typer.Option("--label", help="Who uses it, for you to read.")] = "",
    aws: Annotated[
        bool,
        typer.Option(
            "--aws",
            help="Also print an access key id and a secret access key, for the dialect "
            "rekognition.",
        ),
    ] = False,
    aws_key_file: AwsKeyFile = None,
    json: options.Json = False,
) -> None:
    """Make a key and print its token, once: only a hash of it is stored.

    Example: `visavis keys create --scope identify --gallery door --expires 90d`
    """
    from visavis.api.gallery import expiry_time
    from visavis.service.keys import access_key_id, secret_access_key, store_in

    master = aws_key(aws_key_file)
    if aws and master is None:
        raise OptionError(
            "--aws without a key file",
            f"say --aws-key-file FILE, or set {_AWS_KEY}; `openssl rand -hex 32` makes a key",
        )

    key, token = store_in(home()).create(
        scopes=scope,
        galleries=gallery or (),
        expires=None if expires is None else expiry_time(expires),
        rate=rate,
        label=label,
    )
    pair: dict[str, str] = {}
    if aws and master is not None:
        access = access_key_id(key)
        secret = secret_access_key(access, master=master)
        pair = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    if json:
        echo_json({"token": token, **pair, **key.to_dict()})
        return
    console.print(token, markup=False)
    for name, value in pair.items():
        console.print(f"{name}={value}", markup=False, soft_wrap=True)
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


def aws_key(file: Path | None) -> bytes | None:
    """Returns the key of all secret access keys, from an option or the environment, if any.

    Raises:
        GalleryKeyError: it cannot be read.
    """
    from visavis.api.gallery import Key
    from visavis.cli.gallery.options import key_in

    if file is not None:
        return key_in(file).secret
    text = os.environ.get(_AWS_KEY)
    return Key.from_text(text).secret if text else None
