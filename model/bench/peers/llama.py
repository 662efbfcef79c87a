"""llama.cpp as a peer: its server, inside this process, asked for decode steps and prompts by token ids.

Times are the server's own, without HTTP. Needs `xllamacpp` when a server is opened. One thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_ROUND_TOKENS = 256  # to a multiple of which llama.cpp rounds a row's context


class PeerFailed(RuntimeError):
    """A peer did not do the work it was asked for; the message says what it did."""


class LlamaServer:
    """llama.cpp's server with one model and some slots; close it, or use it as a context.

    Args:
        file: the model, a .gguf.
        threads: that compute.
        slots: rows that it can answer at once.
        context_tokens: most tokens of a row.
    """

    def __init__(self, file: Path, threads: int, slots: int, context_tokens: int) -> None:
        from xllamacpp import CommonParams, Server

        params = CommonParams()
        params.model.path = str(file)
        params.n_ctx = slots * -(-context_tokens // _ROUND_TOKENS) * _ROUND_TOKENS
        params.n_parallel = slots
        params.n_batch = max(params.n_batch, params.n_ctx)  # else many prompts would be read in several batches
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_gpu_layers = params.cache_ram_mib = 0
        params.fit_params = params.ui = False
        params.hostnames = ["127.0.0.1"]
        params.verbosity = -1  # else it tells of every request
        self._server: Any = Server(params)

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and free the model."""
        self._server = None

    def step_s(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        """Decode some steps for prompts of one length at once, and return the mean seconds of one.

        All prompts are read in one batch, whose first tokens start the time, so that it is that of decode steps alone.
        Prompts that were asked before are still in their slots.
        """
        return self._ask(prompts, steps + 1, cached=True)["predicted_ms"] / 1e3 / steps

    def prefill_s(self, prompt: Sequence[int]) -> float:
        """Prefill one prompt, and return its seconds."""
        return self._ask([prompt], 1, cached=False)["prompt_ms"] / 1e3

    def _ask(self, prompts: Sequence[Sequence[int]], tokens: int, *, cached: bool) -> Mapping[str, float]:
        """Answer all prompts in one request, greedily; return the timings of one, which are those of all."""
        lists = [list(prompt) for prompt in prompts]
        request = {
            "prompt": lists if len(lists) > 1 else lists[0],
            "n_predict": tokens,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": True,
            "cache_prompt": cached,
            "stream": False,
        }
        answered = self._server.handle_completions(request)
        answer = json.loads(answered) if isinstance(answered, str | bytes) else answered
        timings: Mapping[str, float] = answer.get("timings", {})
        read = timings.get("prompt_n", 0) + (timings.get("cache_n", 0) if cached else 0)
        done = [len(answer.get("choices", [])), read, timings.get("predicted_n")]
        wanted = [len(lists), len(lists[0]), tokens]
        if done != wanted:
            raise PeerFailed(f"llama.cpp was asked for {wanted} rows, tokens read and tokens written, and did {done}")
        return timings


def compiled_for() -> str:
    """Return the processor features that the installed llama.cpp was compiled for; this machine may have more."""
    from xllamacpp import get_system_info

    told: str = get_system_info()
    return ", ".join(part.split("=")[0].strip().removeprefix("CPU : ") for part in told.split("|") if "= 1" in part)
