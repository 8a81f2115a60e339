"""Which device and precision a machine is best at."""

import torch

from nesy_gedi.errors import UserError, unknown

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "bf16", "fp32-fused", "fp32")
"""``fp32`` is the equations as they stand, ``fp32-fused`` fewer multiplications, equal up to rounding."""


def choose_device(device: str) -> str:
    """``auto`` is CUDA where there is one.

    Raises:
        UserError: CUDA was asked for and is not there, or the name is unknown.
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return "cuda" if available and device != "cpu" else "cpu"


def choose_precision(precision: str, device: str) -> str:
    """``auto`` is bf16 where the hardware multiplies it (AMX, AVX512-BF16, recent GPUs), else fp32-fused.

    Raises:
        UserError: the name is unknown.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        abilities = torch.cpu.get_capabilities()
        fast = bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))
    return "bf16" if fast else "fp32-fused"
