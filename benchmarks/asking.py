"""How a run that knows MNIST reads images that do not look like MNIST's, and which it says it does not know.

python -m benchmarks.asking RUN
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.trained import UNKNOWN_ABOVE, TrainedRun

FONTS = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf"))
LETTERS = "ABCDEFGHKMNPRTUVWXY"  # but those that look like digits


def printed(text: str) -> list[Tensor]:
    """Each character in each of the DejaVu fonts that have it, black on white, uint8 ``(1, 200, 200)``."""
    found = []
    for font in FONTS:
        if "Display" in font.name:  # mathematical signs only
            continue
        for character in text:
            image = Image.new("L", (200, 200), 255)
            ImageDraw.Draw(image).text((40, 20), character, font=ImageFont.truetype(font, 120), fill=0)
            found.append(torch.from_numpy(np.array(image)).unsqueeze(0))
    return found


def kinds(run: TrainedRun) -> Iterator[tuple[str, list[Tensor], Tensor | None]]:
    """Images as the network takes them, with what they show, if they are digits."""
    data = load_mnist(Path("not there"), explicit=False)
    images, labels = data.test_images, data.test_labels
    assert labels is not None
    large = [transforms.resize(image, [112, 112], antialias=True) for image in images]
    moved = [255 - transforms.pad(image, [10, 90, 60, 5]) for image in large]
    digits = torch.arange(10).repeat(len(printed("0")))
    generator = torch.Generator().manual_seed(0)
    yield "test digits", list(images), labels
    plain = [transforms.resize(image, [28, 28], antialias=True) for image in moved]
    yield "enlarged, moved, black on white; resized only", plain, labels
    yield "the same, framed as `query` does", [run.framed(image) for image in moved], labels
    yield "printed digits, framed", [run.framed(image) for image in printed("0123456789")], digits
    yield "printed letters, framed", [run.framed(image) for image in printed(LETTERS)], None
    yield "blank", [torch.zeros(1, 28, 28, dtype=torch.uint8)], None
    noise = torch.randint(0, 256, (500, 1, 28, 28), dtype=torch.uint8, generator=generator)
    yield "uniform noise", list(noise), None


def main() -> None:
    """Print the table."""
    run = TrainedRun(sys.argv[1])
    print("| images | number | accuracy | mean energy, nats | told as unknown |\n|---|---|---|---|---|")
    for name, images, labels in kinds(run):
        look = run.look(torch.stack(images))
        assert look.ranks is not None
        right = "" if labels is None else f"{(look.log_posterior.argmax(1) == labels).double().mean():.3f}"
        told = (look.ranks > UNKNOWN_ABOVE).double().mean()
        print(f"| {name} | {len(images):,} | {right} | {look.energies.mean():.2f} | {told:.1%} |")


if __name__ == "__main__":
    main()
