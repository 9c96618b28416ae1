"""Work that several processes share, and the GPUs of a machine with them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_parallel(work: Callable[[Given], Made], items: Sequence[Given], *, jobs: int, gpus: int) -> Iterator[Made]:
    """``work(item)`` for all items, in ``jobs`` processes that share ``gpus`` GPUs; in this one if it is 1."""
    if jobs == 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    devices = context.Queue()
    for number in range(jobs):
        devices.put(number % gpus)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with context.Pool(jobs, _start_worker, (devices, threads)) as pool:
        pending = [pool.apply_async(work, (item,)) for item in items]
        yield from (result.get() for result in pending)


def _start_worker(gpus: Any, threads: int) -> None:
    """Give this process a GPU and some threads."""
    os.environ["CUDA_VISIBLE_DEVICES"] = str(gpus.get())
    torch.set_num_threads(threads)
