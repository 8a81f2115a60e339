"""A trained run that is asked: ranks of energies, doubts, and images as training had them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import digits
from torchvision.transforms.v2 import functional as transforms

from nesy_gedi.data.images import ImageSet
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_network, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.trained import UNKNOWN_ABOVE, TrainedRun, known_of


def made(folder: Path, images: ImageSet) -> TrainedRun:
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig(width=4, channels=images.train_images.shape[1]), "fp32-fused").eval()
    network.centre(images.train_images[:100] / 255)
    save_network(network, folder / WEIGHTS, {"known": known_of(network, images), "request": {}})
    return TrainedRun(folder)


def test_ranks_are_shares_of_test_images_with_a_lower_energy(tmp_path: Path) -> None:
    run = made(tmp_path, digits())
    shown = digits().test_images
    with torch.no_grad():
        energies = load_network(tmp_path).energy(shown / 255)
    look = run.look(shown)
    torch.testing.assert_close(look.energies, energies)
    assert look.ranks is not None
    lower = (energies.unsqueeze(1) > energies).double().mean(1)
    torch.testing.assert_close(look.ranks.double(), lower, atol=3e-3, rtol=0)


def test_doubts_begin_at_the_threshold(tmp_path: Path) -> None:
    run = made(tmp_path, digits())
    look = run.look(digits().test_images)
    assert look.ranks is not None
    told = [run.judged(look, k, "x.png")[2] is not None for k in range(1000)]
    assert told == (look.ranks > UNKNOWN_ABOVE).tolist()
    assert 5 <= sum(told) <= 15  # one in a hundred
    worst = int(look.energies.argmax())
    sentence = run.judged(look, worst, "x.png")[2]
    assert sentence is not None
    assert sentence.startswith("x.png looks like nothing that the network knows: its energy, ")
    assert "of the 1,000 test images of mnist" in sentence


def test_a_run_that_does_not_say_what_it_knows_doubts_nothing(tmp_path: Path) -> None:
    save_network(GEDINetwork(NetworkConfig(width=4)), tmp_path / WEIGHTS, {"request": {}})
    run = TrainedRun(tmp_path)
    look = run.look(torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    assert look.ranks is None
    assert run.judged(look, 0, "x.png")[1:] == (None, None)


def test_a_drawing_is_framed_and_a_photo_resized(tmp_path: Path) -> None:
    """From a file, and from memory."""
    data = digits()
    large = 255 - transforms.resize(data.test_images[5], [84, 84], antialias=True)
    path = tmp_path / "large.png"
    Image.fromarray(large[0].numpy()).save(path)
    (tmp_path / "known").mkdir()
    run = made(tmp_path / "known", data)
    taken = run.read(path)
    assert torch.equal(taken, run.take(Image.open(path)))
    assert torch.equal(taken, run.take(Image.open(path).convert("RGBA")))
    both = np.corrcoef(taken.flatten().numpy(), data.test_images[5].flatten().numpy())
    assert both[0, 1] > 0.9

    noise = torch.randint(0, 256, data.train_images.shape, dtype=torch.uint8, generator=torch.Generator())
    (tmp_path / "photos").mkdir()
    photos = made(tmp_path / "photos", ImageSet("photos", "here", noise, None, noise[:50], None, 0))
    assert photos.framing is None
    whole = np.asarray(Image.open(path).resize((28, 28), Image.Resampling.BILINEAR))
    assert torch.equal(photos.read(path), torch.from_numpy(whole.copy()).unsqueeze(0))


def test_what_was_resized_for_training_is_resized_for_asking(tmp_path: Path) -> None:
    data = digits()
    files = ImageSet("mine", "files", data.train_images, None, data.test_images, None, 0, from_files=True)
    assert made(tmp_path, files).framing is None


def test_without_test_images_the_training_images_are_known(tmp_path: Path) -> None:
    data = digits()
    alone = ImageSet("mine", "files", data.train_images[:200], None, data.test_images[:0], None, 0)
    assert made(tmp_path, alone).known["of"] == "200 training images of mine"


def test_a_network_that_diverged_knows_nothing() -> None:
    network = GEDINetwork(NetworkConfig(width=4))
    with torch.no_grad():
        network.last_layer.weight.fill_(torch.nan)
    known = known_of(network, digits())
    assert known.keys() == {"framing"}
    assert known["framing"]["background"] == pytest.approx(0)
