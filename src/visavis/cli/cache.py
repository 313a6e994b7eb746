"""``visavis cache``: what is kept between runs, and erasing it."""

from __future__ import annotations

import typer

from visavis.api import cache
from visavis.cli import options
from visavis.cli.output import console, echo_json, home

app = typer.Typer(no_args_is_help=True, help="Templates kept between runs.")


@app.command()
def info(json: options.Json = False) -> None:
    """Say where templates are kept, and how many photos they come from.

    Example: `visavis cache info`
    """
    found = cache.info(home=home())
    if json:
        echo_json(found)
    else:
        console.print(f"{found.path}: templates of {found.photos} photos", markup=False)


@app.command()
def clear() -> None:
    """Erase every template and every photo from the home folder of visavis.

    These are the template cache and the copy of Labeled Faces in the Wild from `demo --fetch`.
    Folders that you named are not touched: docs/concepts/privacy.md says how to erase them.

    Example: `visavis cache clear`
    """
    gone = cache.clear(home=home())
    console.print(f"erased the templates of {gone.photos} photos")
    if gone.downloads is not None:
        console.print(f"erased the photos in {gone.downloads}", markup=False)
