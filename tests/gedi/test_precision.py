"""Choices for machines that this one is not: what PyTorch reports of them is replaced."""

import pytest
import torch

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.precision import choose_device, choose_precision


@pytest.mark.parametrize(
    ("asked", "cuda", "chosen"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_device(monkeypatch, asked, cuda, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert choose_device(asked) == chosen


def test_absent_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"--device cuda: .* no CUDA device here; use --device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("asked", "abilities", "chosen"),
    [
        ("auto", {"avx2": True, "amx_bf16": False, "avx512_bf16": False}, "fp32-fused"),
        ("auto", {"avx2": True, "avx512_bf16": True}, "bf16"),
        ("auto", {"amx_bf16": True, "avx512_bf16": False}, "bf16"),
        ("auto", {"avx512_f": True, "amx_tile": True, "amx_int8": True}, "fp32-fused"),
        ("auto", {"neon": True}, "fp32-fused"),
        ("fp32", {"amx_bf16": True, "avx512_bf16": True}, "fp32"),
        ("bf16", {"avx2": True}, "bf16"),
    ],
)
def test_precision_on_a_processor(monkeypatch, asked, abilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert choose_precision(asked, "cpu") == chosen


@pytest.mark.parametrize(
    ("asked", "native", "chosen"),
    [("auto", True, "bf16"), ("auto", False, "fp32-fused"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_on_a_gpu(monkeypatch, asked, native, chosen):
    """Emulated bf16 is slower than fp32."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": not native})
    assert choose_precision(asked, "cuda") == chosen


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match=r"unknown device 'gpu'.*auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(UserError, match="unknown precision 'bf61': did you mean 'bf16'"):
        choose_precision("bf61", "cpu")
