"""What every stage's loop needs around its steps, so that the loop itself reads like the paper's algorithm.

    with run.active(), Loop(run, config.loop, console, save=save, load=load) as loop:
        for step in loop.steps(loop.resume(), config.loop.steps):
            ...
            loop.apply(optimizer, loss, parameters)
            loop.log(step, {"loss": loss})

Between two steps the loop writes pictures and checkpoints and minds signals; so a step is done wholly or not at
all, and a run that was killed goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from dreampgc.checkpoint import load_latest, save_checkpoint
from dreampgc.config.sections import LoopConfig
from dreampgc.console import Console
from dreampgc.errors import DreamError, Interrupted, TrainingError
from dreampgc.images import Frame, save_image
from dreampgc.runs import Run
from dreampgc.stages.journal import MOST_PENDING, Journal

#: The metrics that say whether a step was taken, and whether all that it rendered found the room reserved for it: a
#: step that did not is skipped like one that is not finite, but no sign that the run diverges.
_TAKEN, ROOM = "_taken", "_room"
#: What a checkpoint holds: tensors by name, and what JSON can hold.
State = tuple[dict[str, Tensor], dict[str, Any]]
#: ``done -> [H,W,3]`` uint8 picture, or None; must not draw from the stage's random generators.
Picture = Callable[[int], Frame | None]


class Loop:
    """Progress, metrics, pictures, checkpoints, signals and the policy for steps that are not finite.

    ``save()`` gives the stage's whole state and ``load(tensors, state)`` takes it back. ``preview(done)`` draws
    the field for ``previews/``, ``gradient(done)`` the last step's gradients for ``gradients/``; ``watch(done)`` is
    told of each step, and must not draw from the random generators either.
    """

    def __init__(
        self,
        run: Run,
        config: LoopConfig,
        console: Console,
        *,
        save: Callable[[], State],
        load: Callable[[dict[str, Tensor], dict[str, Any]], None],
        preview: Picture | None = None,
        gradient: Picture | None = None,
        watch: Callable[[int], None] | None = None,
        label: str = "training",
    ) -> None:
        self.run, self.config, self.console, self.label = run, config, console, label
        #: Steps that were skipped because their loss or a gradient was not finite: in all, and lately in a row.
        self.bad_steps = 0
        self.bad_in_a_row = 0
        self._save, self._load, self._watch = save, load, watch
        self._pictures = (
            ("previews", config.preview_every, preview),
            ("gradients", config.gradient_every, gradient),
        )
        self._done = 0
        self._seconds = 0.0
        self._began = time.monotonic()
        self._note = ""
        self._taken: Tensor | None = None
        self._journal = Journal(run.path / "metrics.jsonl")
        self._signal: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.callback(self._restore_handlers)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()
        if error is None:
            self._stop_if_told()

    @property
    def seconds(self) -> float:
        """Seconds spent in this loop, earlier sessions of the run included up to their last checkpoint."""
        return self._seconds + time.monotonic() - self._began

    def resume(self) -> int:
        """Go back to the newest good checkpoint, if there is one: how many steps are done (0 for a new run).

        ``metrics.jsonl`` loses the lines of the steps that were done after it.

        Raises:
            InputError: there are checkpoints, and none is good; or they are of a newer version.
        """
        loaded = load_latest(self.run.path, self.console.warn)
        done = 0
        if loaded is not None:
            done, tensors, state = loaded
            own = state.pop("loop")
            self.bad_steps, self.bad_in_a_row = own["bad_steps"], own["bad_in_a_row"]
            self._seconds = own["seconds"]
            self._load(tensors, state)
        with self._storage():
            self._journal.truncate(done)
        self._done = done
        return done

    def steps(self, start: int, total: int) -> Iterator[int]:
        """The numbers of the steps to do, ``start`` to ``total - 1``; works between them, and after the last one.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the step was finished and a checkpoint written.
            DreamError: the disk is full.
        """
        self._began, self._done = time.monotonic(), start
        self.console.event("start", run=self.run.path, step=start, steps=total)
        report = self._exit.enter_context(self.console.progress(self.label, total, start))
        self._stop_if_told()
        for step in range(start, total):
            yield step
            self._done = step + 1
            report.update(self._done, self._note)
            if self._done == total:
                self._settle()
            self._write_what_is_due(total)
            if self._watch is not None:
                self._watch(self._done)
            self._stop_if_told()

    def apply(self, optimizer: Optimizer, loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
        """Descend: backward, then the optimiser's step, unless the loss or a gradient is not finite.

        A step that is not finite leaves ``parameters`` and the optimiser as they were; `log` counts it. Returns
        whether the step was taken, 0-d bool. A fused optimiser finds that out by itself, on the device: the host does
        not wait for the answer. With it, a loss without a graph means that the parameters have their gradients.
        """
        fused = all(group.get("fused") for group in optimizer.param_groups)
        if loss.requires_grad or not fused:
            optimizer.zero_grad(set_to_none=True)
        if fused:
            if loss.requires_grad:
                loss.backward()
            taken = torch.isfinite(loss.detach()) & _finite(parameter.grad for parameter in parameters)
            # What a gradient scaler would set: the kernel reads it, and then changes neither weights nor moments.
            optimizer.found_inf = (~taken).float()  # pyright: ignore[reportAttributeAccessIssue]
            optimizer.step()
        else:
            taken = torch.isfinite(loss.detach())
            if taken:
                loss.backward()
                taken = _finite(parameter.grad for parameter in parameters)
            if taken:
                optimizer.step()
            else:
                optimizer.zero_grad(set_to_none=True)
        self._taken = taken
        return taken

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``: step, seconds, ``metrics`` (numbers or one-element tensors).

        What lies on a GPU is written when it has arrived, some steps later, and before any picture or checkpoint.

        Raises:
            TrainingError: ``max_bad_steps`` steps in a row were not finite, this one or some that arrived only now.
        """
        mark = {} if self._taken is None else {_TAKEN: self._taken}
        self._journal.put({"step": step, "seconds": round(self.seconds, 3), **metrics, **mark})
        self._taken = None
        self._settle(MOST_PENDING)

    def _settle(self, most: int = 0) -> None:
        """Count and write the steps whose numbers have arrived; waits until no more than ``most`` are missing."""
        for numbers in self._journal.arrived(most):
            self._count(bool(numbers.pop(_TAKEN, True)), bool(numbers.pop(ROOM, True)))
            line = {**numbers, "bad_steps": self.bad_steps}
            with self._storage():
                self._journal.write(line)
            self.console.event("step", **line)
            loss = line.get("loss")
            self._note = f"loss {loss:.4g}" if isinstance(loss, float) else ""

    def _count(self, taken: bool, room: bool) -> None:
        self.bad_steps += not taken
        if taken or room:
            self.bad_in_a_row = 0 if taken else self.bad_in_a_row + 1
        if self.bad_in_a_row >= self.config.max_bad_steps:
            raise TrainingError(
                f"{self.bad_in_a_row} steps in a row had a loss or gradient that is not finite; the last good "
                "checkpoint is kept: try a lower optimizer.learning_rate or guidance.scale"
            )

    def _write_what_is_due(self, total: int) -> None:
        """Pictures and checkpoint, in this order: a checkpoint implies that its pictures are there."""
        for folder, every, draw in self._pictures:
            if draw is not None and self._due(every, total):
                self._draw(folder, draw)
        if self._due(self.config.checkpoint_every, total):
            self._checkpoint()

    def _due(self, every: int, total: int) -> bool:
        return self._done == total or (every > 0 and self._done % every == 0)

    def _draw(self, folder: str, draw: Picture) -> None:
        self._settle()
        path = self.run.path / folder / f"step-{self._done:06d}.png"
        frame = draw(self._done)
        if frame is None:
            return
        with self._storage():
            save_image(path, frame)
        self.console.event(folder.removesuffix("s"), step=self._done, path=path)

    def _checkpoint(self) -> None:
        self._settle()
        tensors, state = self._save()
        own = {"bad_steps": self.bad_steps, "bad_in_a_row": self.bad_in_a_row, "seconds": self.seconds}
        with self._storage():
            if self._journal.path.exists():
                with self._journal.path.open("rb") as file:
                    os.fsync(file.fileno())
            keep = self.config.keep_checkpoints
            path = save_checkpoint(self.run.path, self._done, tensors, {**state, "loop": own}, keep=keep)
            self.run.update(step=self._done)
        self.console.event("checkpoint", step=self._done, path=path)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the signal for when the step is done; the next one of its kind takes effect at once."""
        self._signal = signal.Signals(number)
        signal.signal(number, self._handlers[self._signal])

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _stop_if_told(self) -> None:
        if self._signal is None:
            return
        if self._done > 0:
            self._checkpoint()
        raise Interrupted(
            f"stopped by {self._signal.name} after step {self._done}; go on with --resume {self.run.path}",
            exit_code=128 + self._signal,
        )

    @contextmanager
    def _storage(self) -> Iterator[None]:
        """Turn a full disk and its like into one sentence."""
        try:
            yield
        except OSError as error:
            raise DreamError(
                f"cannot write into the run folder {self.run.path}: {error.strerror or error}; what was saved is "
                f"intact: make room, then go on with --resume {self.run.path}"
            ) from error


def _finite(gradients: Iterable[Tensor | None]) -> Tensor:
    """Whether all gradients are finite, 0-d bool on their device."""
    verdicts = [torch.isfinite(gradient).all() for gradient in gradients if gradient is not None]
    return torch.stack(verdicts).all() if verdicts else torch.tensor(True)
