"""The three packages that only load together, checked before any of them is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TORCH, TORCHREC, FBGEMM = "2.13.0", "1.8.0", "1.8.0"
MEND = "install with `pip install -r requirements/cpu.txt` (no GPU) or `pip install -r requirements/gpu.txt` (CUDA) in a fresh environment"


def installed(package: str) -> str | None:
    """The installed version of `package`, None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def mismatch(torch: str | None, torchrec: str | None, fbgemm: str | None, fbgemm_cpu: str | None) -> str | None:
    """What is wrong with these installed versions, None if they fit.

    pip cannot tell: the fbgemm wheels name no torch version, and a wrong pair shows only as an OSError when a library is loaded.
    `fbgemm` ending in `.shim` is the code-free stand-in that requirements/cpu.txt installs beside the CPU build.
    """
    cuda_build = None if fbgemm is None or fbgemm.endswith(".shim") else fbgemm
    if cuda_build and fbgemm_cpu:
        return f"both the CUDA build (fbgemm-gpu {cuda_build}) and the CPU build (fbgemm-gpu-cpu {fbgemm_cpu}) of fbgemm are installed"
    found = {"torch": torch, "torchrec": torchrec, "fbgemm": cuda_build or fbgemm_cpu}
    wanted = {"torch": TORCH, "torchrec": TORCHREC, "fbgemm": FBGEMM}
    wrong = [name for name, number in found.items() if number is None or number.partition("+")[0] != wanted[name]]
    if wrong:
        pair = ", ".join(f"{name} {found[name] or 'absent'} (needs {wanted[name]})" for name in wrong)
        return f"torch, torchrec and fbgemm don't fit together: {pair}"
    if cuda_build and torch and torch.endswith("+cpu"):
        return f"torch {torch} is a CPU build but fbgemm-gpu {cuda_build} is a CUDA build"
    return None


def check_versions() -> None:
    """Raise ImportError, with the mend, when torch, torchrec and fbgemm don't fit together."""
    problem = mismatch(*map(installed, ("torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu")))
    if problem:
        raise ImportError(f"{problem}: {MEND}")
