"""Training by several processes, on one machine or many: `torchrun ... -m dragoman.translate train CONFIG`.

Every process draws the same batches and takes its share of the rows of each. DistributedDataParallel (Li et al. 2020)
sums the gradients. The first process alone writes, validates and decides when training ends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn  # before any group: its functions hold the one that is there when it is read
from torch import nn

from dragoman.runtime.errors import UserError

# A worker that dies is noticed at once, since its connections close; waiting long is for encoding a large corpus.
PATIENCE = timedelta(hours=12)


def device_of(local: int = 0) -> torch.device:
    """Where to compute: a GPU where there are any, that of this number, counted round; otherwise the CPU."""
    cuda = torch.cuda.is_available()
    return torch.device("cuda", local % torch.cuda.device_count()) if cuda else torch.device("cpu")


class WorkerLost(UserError):
    """Another process of the training has ended."""


class Workers:
    """The processes of a training, seen from one of them."""

    def __init__(self, rank: int = 0, world: int = 1, local: int = 0) -> None:
        """rank: of this process among `world`. local: among those of its machine, which names its GPU."""
        self.rank, self.world = rank, world
        self.device = device_of(local)

    @classmethod
    def join(cls) -> Workers:
        """As torchrun's environment says; alone where there is none. Raises UserError when the others do not come."""
        try:
            rank, world, local, beside = (int(os.environ.get(name, d)) for name, d in ENVIRONMENT)
        except ValueError:
            raise UserError(f"{', '.join(name for name, _ in ENVIRONMENT)}: torchrun sets these to numbers") from None
        out = cls(rank, world, local)
        if world > 1 and not dist.is_initialized():
            try:
                own = out.device.type == "cuda" and beside <= torch.cuda.device_count()  # nccl refuses to share one
                dist.init_process_group("nccl" if own else "gloo", timeout=PATIENCE)
            except (RuntimeError, ValueError) as error:
                raise UserError(f"worker {rank} of {world} cannot reach the others: {error}") from None
        return out

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def shutdown(self) -> None:
        """End the connections and their threads.

        Nothing may be shared any more. A thread that lives on as the interpreter ends may be letting go of a tensor
        just then, and takes the process with it (pytorch/pytorch#179291).
        """
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def barrier(self) -> None:
        """Until all have come here."""
        self.all_reduce_max([0.0])

    def all_reduce_max(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all workers."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all workers."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def _reduced(self, values: Sequence[float], how: dist.ReduceOp.RedOpType) -> list[float]:
        if self.world == 1:
            return [*values]
        together = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self.watched():
            dist.all_reduce(together, how)
        return [float(v) for v in together]

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """A module whose gradients are the mean over all workers."""
        if self.world == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        with self.watched():
            return nn.parallel.DistributedDataParallel(module, device_ids=devices, forward_sync_buffers=False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turn what the library says when another worker has gone into WorkerLost."""
        try:
            yield
        except RuntimeError as error:
            words = str(error).lower()
            if self.world > 1 and any(sign in words for sign in ("connection", "gloo", "nccl", "peer", "timed out")):
                raise WorkerLost("another worker of this training has ended") from None
            raise


ENVIRONMENT = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
