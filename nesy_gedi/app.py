"""``nesy-gedi app``: draw or drop images into a program's slots, and see what a trained run makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from PIL import Image

from nesy_gedi.asking import Answer, answer, slots_of
from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import is_observed
from nesy_gedi.logic.limits import Limits
from nesy_gedi.trained import TrainedRun

try:
    import gradio as gr
except ImportError as error:  # an extra
    raise UserError("the app needs Gradio: pip install 'nesy-gedi[app]'") from error

_CANVAS = 280  # pixels
_BRUSH = 10  # pixels, the radius: as thick a line in a digit of 200 as MNIST's are in one of 20
_SHOWN = 3  # symbols of a reading


class AskedRun:
    """A run whose program's slots are to be filled with pictures.

    Args:
        run: folder of the run.
        timeout: for grounding and compiling, seconds.

    Attributes:
        images: names of the slots that the network reads.
        symbols: for each slot of an observed network the symbols to choose from.

    Raises:
        UserError: there is no such run, or it was trained without a program.
    """

    def __init__(self, run: str, timeout: float = 60.0) -> None:
        self.trained = TrainedRun(run)
        self.circuit = ConstraintCircuit(self.trained.program(), limits=Limits(timeout))
        self.images: list[str] = []
        self.symbols: dict[str, tuple[str, ...]] = {}
        for name, inputs in self.circuit.networks.items():
            if is_observed(name):
                self.symbols |= dict.fromkeys(slots_of(self.circuit, name), inputs.domain)
            else:
                self.images += slots_of(self.circuit, name)

    def ask(self, pictures: Sequence[Image.Image], symbols: Sequence[str]) -> Answer:
        """What the run says of a picture for each of ``images``, and a symbol for each of ``symbols``."""
        images = {
            slot: self.trained.take(picture) for slot, picture in zip(self.images, pictures, strict=True)
        }
        known = dict(zip(self.symbols, symbols, strict=True))
        return answer(self.trained, self.circuit, images, known, str(self.circuit.program.query))


def build(asked: AskedRun) -> gr.Blocks:
    """The page: a canvas for each image, what each is read as, and what follows."""
    with gr.Blocks(title=f"nesy-gedi: {asked.trained.run}", analytics_enabled=False) as page:
        gr.Markdown(
            f"# {asked.circuit.program.query}\n\nDraw an image into each slot, or drop a file below it."
        )
        canvases, files, readings = [], [], []
        with gr.Row():
            for name in asked.images:
                with gr.Column(min_width=_CANVAS):
                    canvases.append(_canvas(name))
                    files.append(_file(name))
                    readings.append(gr.Label(label=f"{name} reads", num_top_classes=_SHOWN))
        known = [gr.Dropdown(list(domain), label=slot) for slot, domain in asked.symbols.items()]
        answers = gr.Label(label=_question(asked.circuit), num_top_classes=_SHOWN)
        explained = gr.Markdown()

        def show(*values: Any) -> list[Any]:
            count = len(canvases)
            drawn, dropped, symbols = values[:count], values[count : 2 * count], values[2 * count :]
            pictures = [
                file or (value and value["composite"]) for value, file in zip(drawn, dropped, strict=True)
            ]
            if any(map(_blank, pictures)) or None in symbols:
                return [None] * (count + 1) + ["Every slot needs an image or a symbol."]
            said = asked.ask(pictures, symbols)
            each = [said.readings[name].alone for name in asked.images]
            return [*each, _answers(said.probabilities), explanation(said)]

        events = [*(part.input for part in canvases), *(part.change for part in (*files, *known))]
        outputs = [*readings, answers, explained]
        # a stroke that comes while the last one is still being read is not lost
        gr.on(events, show, [*canvases, *files, *known], outputs, trigger_mode="always_last")
    return cast(gr.Blocks, page)


def _canvas(name: str) -> Any:
    return gr.Sketchpad(
        Image.new("RGB", (_CANVAS, _CANVAS), "white"),  # without it, the brush must be chosen first
        label=name,
        type="pil",
        format="png",  # others lose pixels
        canvas_size=(_CANVAS, _CANVAS),
        brush=gr.Brush(default_size=_BRUSH, colors=["#000000"], color_mode="fixed"),
        transforms=(),
        layers=False,
        elem_id=f"slot-{name}",
    )


def _file(name: str) -> Any:
    return gr.Image(
        type="pil",
        format="png",
        image_mode=None,
        sources=["upload", "clipboard"],
        height=_CANVAS // 2,
        label=f"a file instead of the drawing of {name}",
        elem_id=f"file-{name}",
    )


def _blank(picture: Image.Image | None) -> bool:
    """Whether nothing is drawn: a canvas is of one colour at first."""
    return picture is None or picture.convert("RGBA").getcolors(1) is not None


def _question(circuit: ConstraintCircuit) -> str:
    if circuit.answers:
        return "probability of " + ", ".join(str(symbol) for symbol in circuit.program.symbols)
    return f"probability that {circuit.program.query} holds"


def _answers(probabilities: Mapping[str, float]) -> dict[str, float]:
    if list(probabilities) == ["true"]:
        return {"holds": probabilities["true"], "does not": 1 - probabilities["true"]}
    return dict(probabilities)


def explanation(said: Answer) -> str:
    """The most probable reading of all images, their energies, and doubts, as Markdown."""
    best, probability = said.ranked[0]
    given = "it holds" if best == "true" else f"the answer is {best}"
    read = ", ".join(f"{name} as **{reading.symbol}**" for name, reading in said.readings.items())
    lines = [f"Given that {given}: {read}, with probability {said.reading_probability:.4f}."]
    if probability == 0:
        lines = ["It cannot hold with these images."]
    for name, reading in said.readings.items():
        rank = "" if reading.rank is None else f", above {reading.rank:.1%} of known images"
        lines.append(f"* {name}: energy {reading.energy:.3f} nats{rank}")
    lines += [f"\n⚠ {doubt}" for doubt in said.doubts]
    return "\n".join(lines)


def serve(run: str, host: str, port: int | None, timeout: float) -> tuple[gr.Blocks, str]:
    """Begin to serve the page; it goes on in a thread of its own.

    Args:
        run: folder of the run.
        host: address to listen on.
        port: to listen on; None for a free one from 7860 on.
        timeout: for grounding and compiling, seconds.

    Returns:
        The page, which can be closed, and its address.

    Raises:
        UserError: as for :class:`AskedRun`, or the port is taken.
    """
    page = build(AskedRun(run, timeout))
    # fonts of the machine: the usual ones would be fetched from elsewhere
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            theme=theme,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error}; choose another --port") from error
    return page, address
