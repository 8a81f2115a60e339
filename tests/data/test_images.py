"""Image sets without labels or test images, and classes as the symbols of a domain."""

import hashlib
import struct
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.data.images import ImageSet, domain_labels, to_float, value_range
from nesy_gedi.errors import UserError

PIXELS = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 1, 3, 4)
LABELS = torch.tensor([1, 0])
SET = ImageSet("mine", "memory", PIXELS, LABELS, PIXELS, LABELS, 10)


def test_digest_tells_unknown_labels_and_no_images_from_any_others() -> None:
    empty = torch.empty(0, dtype=torch.long)
    sets = [
        SET,
        replace(SET, train_labels=None),
        replace(SET, test_labels=None),
        replace(SET, train_labels=None, test_labels=None),
        replace(SET, test_images=PIXELS[:0], test_labels=empty),
        replace(SET, test_images=PIXELS[:0], test_labels=None),
    ]
    assert len({images.sha256 for images in sets}) == len(sets)
    assert sets[-1].sha256 == replace(sets[-1], name="other").sha256


def test_description_counts_what_is_there() -> None:
    described = replace(SET, test_images=PIXELS[:0], test_labels=None, train_labels=None).describe()
    assert (described["train"], described["test"], described["image_shape"]) == (2, 0, [1, 3, 4])
    assert (described["range"], described["bounded"]) == ([0.0, 1.0], True)


def test_float_of_pixels_is_their_share_of_white_and_of_vectors_themselves() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    values = to_float(every)
    assert values.dtype == torch.float32
    assert values.flatten().tolist() == pytest.approx([k / 255 for k in range(256)], rel=1e-6)
    assert values.flatten()[255].item() == 1.0
    vectors = torch.tensor([[-3.5, 260.0]]).view(1, 2, 1, 1)
    assert torch.equal(to_float(vectors), vectors)
    assert value_range(vectors) == (-3.5, 260.0)
    assert value_range(every[:, :, 3:5]) == (0.0, 1.0)


def test_digest_hashes_vectors_as_little_endian_floats() -> None:
    vectors = torch.tensor([[1.5, -2.0]]).view(1, 2, 1, 1)
    images = ImageSet("mine", "memory", vectors, None, vectors, None, 0)
    hashed = (b"(1, 2, 1, 1)" + struct.pack("<2f", 1.5, -2.0)) * 2
    assert images.sha256 == hashlib.sha256(hashed).hexdigest()
    described = images.describe()
    assert (described["range"], described["bounded"]) == ([-2.0, 1.5], False)


def test_classes_have_the_names_that_are_given() -> None:
    named = replace(SET, classes=2, names=("cat", "dog"))
    assert named.class_names == ("cat", "dog")
    assert named.sha256 == SET.sha256
    assert domain_labels(named, torch.tensor([0, 1, -1]), ["dog", "cat"], "p.pl").tolist() == [1, 0, -1]


def test_classes_are_called_by_their_numbers() -> None:
    assert SET.class_names == tuple("0123456789")
    assert replace(SET, classes=2).class_names == ("0", "1")


@settings(deadline=None)
@given(domain=st.lists(st.sampled_from("0123456789"), min_size=1, unique=True), data=st.data())
def test_numbers_in_a_domain_are_the_classes_of_that_name(domain: list[str], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(-1, 9), max_size=20))
    numbers = domain_labels(SET, torch.tensor(labels, dtype=torch.long), domain, "p.pl")
    assert numbers.dtype == torch.int64
    for label, number in zip(labels, numbers.tolist(), strict=True):
        if str(label) in domain:
            assert domain[number] == str(label)
        else:
            assert number == -1


def test_other_symbols_stand_for_the_classes_in_order() -> None:
    labels = torch.tensor([9, 0, -1, 3])
    assert domain_labels(SET, labels, list("abcdefghij"), "p.pl").tolist() == labels.tolist()


@pytest.mark.parametrize("domain", [["red", "green"], [str(k) for k in range(1, 11)], ["0", "one"]])
def test_symbols_that_do_not_fit_are_refused(domain: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        domain_labels(SET, LABELS, domain, "p.pl")
    message = str(caught.value)
    foreign = [symbol for symbol in domain if symbol not in SET.class_names]
    assert message.startswith(f"p.pl: the domain [{', '.join(domain)}] cannot be filled by mine")
    assert f"no class {', '.join(foreign)}:" in message
