"""``visavis cache``: shows and erases the template cache."""

from __future__ import annotations

import typer

from visavis.api import cache
from visavis.cli import options
from visavis.cli.output import console, echo_json, home

app = typer.Typer(no_args_is_help=True, help="Cached templates.")


@app.command()
def info(json: options.Json = False) -> None:
    """Show the location of the template cache, and the number of photos in it.

    Example: `visavis cache info`
    """
    found = cache.info(home=home())
    if json:
        echo_json(found)
    else:
        console.print(f"{found.path}: templates of {found.photos} photos", markup=False)


@app.command()
def clear() -> None:
    """Erase all cached templates and photos from visavis's home folder.

    These are the template cache and the copy of Labeled Faces in the Wild from `demo --fetch`.
    Other folders are not changed: docs/concepts/privacy.md says how to erase them.

    Example: `visavis cache clear`
    """
    gone = cache.clear(home=home())
    console.print(f"erased the templates of {gone.photos} photos")
    if gone.downloads is not None:
        console.print(f"erased the photos in {gone.downloads}", markup=False)
