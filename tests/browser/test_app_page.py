"""The app as a browser shows it: what is drawn and dropped is read, by a network that can read."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image
from tiny_training import digits
from torch.nn.functional import cross_entropy
from watched import opened

from nesy_gedi.asking import ask
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.resources import resource
from nesy_gedi.trained import known_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("gradio", reason="no Gradio: pip install 'nesy-gedi[app]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the labelled addition: a network that was taught with labels, and that noise is no digit."""
    folder, data = tmp_path_factory.mktemp("app") / "run", digits()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GEDINetwork(NetworkConfig(width=16), "fp32-fused")
        network.centre(data.train_images[:600] / 255)
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(3):
            for rows in torch.randperm(len(data.train_images)).split(50):
                optimizer.zero_grad()
                logits = network(data.train_images[rows] / 255)
                noise = network(torch.rand(20, 1, 28, 28))
                energy_gap = noise.logsumexp(1).mean() - logits.logsumexp(1).mean()
                (cross_entropy(logits, data.train_labels[rows]) + 0.1 * energy_gap).backward()
                optimizer.step()
    text = resource("programs", "labelled_addition.pl").read_text(encoding="utf-8")
    description = {
        "program": text,
        "query": "addition(X,Y,Z)",
        "request": {},
        "known": known_of(network.eval(), data),
    }
    folder.mkdir()
    save_network(network, folder / WEIGHTS, description)
    return folder


@pytest.fixture
def page(browser: "Browser", run: Path) -> "Iterator[Page]":
    from nesy_gedi.app import serve

    served, address = serve(str(run), "127.0.0.1", None, 60)
    with opened(browser, address) as opened_page:
        opened_page.wait_for_selector("#slot-Y canvas")
        opened_page.wait_for_timeout(3000)  # for the canvases to listen
        yield opened_page
    served.close(verbose=False)


def stroke(page: "Page", slot: str, *points: tuple[float, float]) -> None:
    """Draw a line through points, which are shares of the canvas."""
    canvas = page.locator(f"#slot-{slot} canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=10)
    page.mouse.up()


def shown(page: "Page", wanted: str) -> str:
    """The text of the page, once something is in it."""
    for _ in range(150):
        text: str = page.locator("body").inner_text()
        if re.search(wanted, text):
            return text
        time.sleep(0.2)
    raise AssertionError(f"{wanted} is not in {text}")


def test_what_is_drawn_is_read_and_added(page: "Page") -> None:
    stroke(page, "X", (0.5, 0.25), (0.5, 0.75))
    shown(page, "Every slot needs an image or a symbol")
    stroke(page, "Y", (0.35, 0.27), (0.65, 0.27), (0.45, 0.75))
    text = shown(page, r"Given that the answer is 8: X as 1, Y as 7, with probability (1\.0000|0\.\d+)")
    assert re.search(r"X reads\s+1\s", text)
    assert re.search(r"Y reads\s+7\s", text)
    assert len(re.findall(r"energy -?\d+\.\d+ nats, above \d+\.\d% of known images", text)) == 2


def patterns() -> Iterator[torch.Tensor]:
    """Stripes, boards and noise, ``(60, 60)``, uint8."""
    across = torch.arange(60)
    for width in (1, 2, 3, 5, 8, 12):
        stripes = (across // width % 2).bool()
        yield 255 * stripes.expand(60, 60).byte()
        yield 255 * (stripes ^ stripes.unsqueeze(1)).byte()
    for seed in range(20):
        yield torch.randint(
            0, 256, (60, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
        )


def doubted(run: Path, image: torch.Tensor, path: Path) -> bool:
    Image.fromarray(image.numpy()).save(path)
    return bool(ask(str(run), f'digit("{path}",A)').doubts)


@pytest.mark.parametrize("second", ["known", "strange"])
def test_files_give_what_query_gives(page: "Page", run: Path, tmp_path: Path, second: str) -> None:
    """And those that look like nothing known are told."""
    data = digits()
    for name, image in (("first", data.test_images[3]), ("known", data.test_images[40])):
        Image.fromarray(255 - image[0].numpy()).resize((140, 140)).save(tmp_path / f"{name}.png")
    assert any(doubted(run, image, tmp_path / "strange.png") for image in patterns())
    paths = [f"{tmp_path}/first.png", f"{tmp_path}/{second}.png"]
    for slot, path in zip("XY", paths, strict=True):
        page.locator(f"#file-{slot} input[type=file]").set_input_files(path)
    said = ask(str(run), f'addition("{paths[0]}","{paths[1]}",Z)')
    read = ", ".join(f"{slot} as {r.symbol}" for slot, r in zip("XY", said.readings.values(), strict=True))
    one, two = (f"{reading.energy:.3f} nats" for reading in said.readings.values())
    given = f"Given that the answer is {said.ranked[0][0]}: {read}"
    text = shown(page, rf"{given}[\s\S]*{one}[\s\S]*{two}")
    assert f"with probability {said.reading_probability:.4f}" in text
    assert ("Y looks like nothing that the network knows" in text) == (second == "strange")
    assert "X looks like nothing" not in text
