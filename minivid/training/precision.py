"""On which device, in which precision, and whether compiled."""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable

import torch
from torch import nn


def device() -> torch.device:
    """CUDA where there is one, of several this process's own, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(precision: str, where: torch.device):
    """A context in which matrices are multiplied in that precision, if the hardware has it."""
    if precision == "fp32" or not has_bf16(where):
        return contextlib.nullcontext()
    return torch.autocast(where.type, torch.bfloat16)


@functools.cache
def has_bf16(where: torch.device) -> bool:
    """Whether numbers are multiplied in bf16 there: what has to imitate it is faster in fp32."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if where.type != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has for name, has in capabilities.items() if "bf16" in name)


def compile_blocks(network: nn.Module, where: torch.device) -> None:
    """Compile each layer of every list of layers, where torch.compile works.

    Equal layers are compiled once, and anew for each shape of a batch, of which there may be many. A layer
    that cannot be compiled after all (the compiler's cache is full, say) runs as it is.
    """
    if not compiles(where):
        return
    torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
    for module in network.modules():
        for layer in module if isinstance(module, nn.ModuleList) else ():
            layer.compile(dynamic=False)
            layer._compiled_call_impl = _or_as_it_is(layer, layer._compiled_call_impl)


def _or_as_it_is(layer: nn.Module, compiled: Callable) -> Callable:
    """A call of the compiled layer; the first one that fails, and all after it, of the layer itself."""

    def call(*arguments, **named):
        try:
            return compiled(*arguments, **named)
        except Exception as error:
            what = type(layer).__name__
            warnings.warn(f"{what} is not compiled ({type(error).__name__}: {error})", stacklevel=2)
            layer._compiled_call_impl = None
            return layer._call_impl(*arguments, **named)

    return call


@functools.cache
def compiles(where: torch.device) -> bool:
    """Whether torch.compile works there: on a CPU it wants a C++ compiler, on a GPU Triton."""
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=where))
    except Exception as error:
        warnings.warn(f"torch.compile does not work here, training goes on without: {error}", stacklevel=2)
        return False
    return True
