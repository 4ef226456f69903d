"""Data-parallel training by several processes, on one machine or many.

Start it with `torchrun ... -m dragoman.translate train CONFIG`. Every process draws the same batches and takes its
share of the rows of each. DistributedDataParallel (Li et al. 2020) averages the gradients. Only the main process, of
rank 0, writes, validates and decides when training ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.distributed.nn  # import it before any group exists: its functions keep the group of that moment
from torch import nn

from dragoman.runtime.batching import BATCH_TOKENS
from dragoman.runtime.errors import UserError

# Long enough to encode a large corpus. A worker that dies is noticed at once all the same: its connections close.
TIMEOUT = timedelta(hours=12)
ENVIRONMENT = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))  # with defaults

CPU = torch.device("cpu")


class BatchLimits(NamedTuple):
    """The largest batch that is computed without gradients."""

    rows: int
    tokens: int  # source ids, padding included


# By type of device. A GPU is idle most of the time in batches that fit the cache of a processor.
BATCH_LIMITS = {"cpu": BatchLimits(64, BATCH_TOKENS), "cuda": BatchLimits(512, 16384)}


def device_of(local: int = 0) -> torch.device:
    """Return the GPU for a process, modulo the number of GPUs, or the CPU; local: its rank on this machine."""
    cuda = torch.cuda.is_available()
    return torch.device("cuda", local % torch.cuda.device_count()) if cuda else CPU


class WorkerLost(UserError):
    """Another process of the training has ended."""


class Workers:
    """The processes of a training, seen from one of them. Every collective is a no-op for a single process."""

    def __init__(self, rank: int = 0, world: int = 1, local: int = 0) -> None:
        """Describe process `rank` of `world`; local is its rank on this machine, which selects its GPU."""
        self.rank, self.world = rank, world
        self.device = device_of(local)

    @classmethod
    def join(cls) -> Workers:
        """Join the process group that torchrun's environment describes, or return a single process without one.

        Raises UserError when the environment is damaged or the other processes cannot be reached.
        """
        try:
            rank, world, local, local_world = (int(os.environ.get(name, default)) for name, default in ENVIRONMENT)
        except ValueError:
            names = ", ".join(name for name, _ in ENVIRONMENT)
            raise UserError(f"{names}: torchrun sets these to whole numbers; unset them to train alone") from None
        workers = cls(rank, world, local)
        if world > 1 and not dist.is_initialized():
            # NCCL refuses to share a GPU between processes.
            one_gpu_each = workers.device.type == "cuda" and local_world <= torch.cuda.device_count()
            try:
                dist.init_process_group("nccl" if one_gpu_each else "gloo", timeout=TIMEOUT)
            except (RuntimeError, ValueError) as error:
                raise UserError(f"worker {rank} of {world} cannot reach the others: {error}") from None
        return workers

    @property
    def main(self) -> bool:
        """True for the process that writes."""
        return self.rank == 0

    def shutdown(self) -> None:
        """Close the connections and end their threads. No collective may follow.

        A thread that outlives the interpreter may release a tensor at that moment, which crashes the process
        (pytorch/pytorch#179291).
        """
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def barrier(self) -> None:
        """Wait until all workers have reached this point."""
        self.all_reduce_max([0.0])

    def all_reduce_max(self, values: Sequence[float]) -> list[float]:
        """Return the maximum of each value over all workers."""
        return self._all_reduce(values, dist.ReduceOp.MAX)

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all workers."""
        return self._all_reduce(values, dist.ReduceOp.SUM)

    def _all_reduce(self, values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        if self.world == 1:
            return [*values]
        reduced = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self.detecting_lost_workers():
            dist.all_reduce(reduced, operation)
        return [float(v) for v in reduced]

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are the mean over all workers."""
        if self.world == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        with self.detecting_lost_workers():
            return nn.parallel.DistributedDataParallel(module, device_ids=devices, forward_sync_buffers=False)

    @contextmanager
    def detecting_lost_workers(self) -> Iterator[None]:
        """Raise WorkerLost in place of the errors that PyTorch raises when another worker has ended."""
        try:
            yield
        except RuntimeError as error:
            text = str(error).lower()
            if self.world > 1 and any(word in text for word in ("connection", "gloo", "nccl", "peer", "timed out")):
                raise WorkerLost("another worker of this training has ended") from None
            raise
