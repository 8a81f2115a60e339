"""``nesy-gedi app``: a trained run in the browser."""

import click


@click.command(context_settings={"show_default": True})
@click.argument("run", metavar="RUN")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Where to listen; others see 0.0.0.0.")
@click.option(
    "--port", metavar="N", type=click.IntRange(1, 65535), help="Port. [default: the first free from 7860 on]"
)
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option("--compile-timeout", metavar="SECONDS", type=float, default=60.0)
def app(run: str, host: str, port: int | None, show: bool, compile_timeout: float) -> None:
    """Draw or drop images into the slots of a run's program, and see what it makes of them.

    Needs the extra app: pip install 'nesy-gedi[app]'. Ctrl-C ends it.

    \b
    nesy-gedi app runs/addition-combined-1000 --open
    """
    import threading

    from nesy_gedi.app import serve

    page, address = serve(run, host, port, compile_timeout)
    click.echo(address)
    if show:
        click.launch(address)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)
