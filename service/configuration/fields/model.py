"""Settings of the model: what is served, on which devices, in how much memory.

Each with its unit and bounds. Pure data.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from service.byte_units import GIB
from service.configuration.fields.checks import OptionalFolder, check_devices, split_names

_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")], ...],
    NoDecode,
    BeforeValidator(split_names),
]


class ModelSettings(BaseModel):
    """The settings of the model and of the worker processes that run it."""

    model: str = Field(
        default="pheye-tiny",
        min_length=1,
        description="Model to serve: `pheye-tiny` (built in), a folder, a hub id, or `random:NAME`, a known "
        "architecture with random weights.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="Revision (commit, tag or branch) of the model's own hub repository. It does not pin those of"
        " encoder, decoder and tokenizer.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Name under which the model is served, instead of its own.",
    )
    aliases: _Names = Field(
        default=(),
        description="Comma-separated other names under which requests may ask for the model, such as `gpt-4o-mini`; "
        "`*` takes any name.",
    )
    devices: Annotated[str, AfterValidator(check_devices)] = Field(
        default="auto",
        description="Comma-separated devices, one worker process each: `cpu`, `cuda:0`, ...; `cpu,cpu` starts two"
        " workers. `auto` takes the first GPU, else the CPU. There a small model (weights below 200 "
        "MB) gets one worker per core, or per `PHEYE_THREADS` cores: at most 8, and no more than fit "
        "into half of the free memory.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "int8", "int4"] = Field(
        default="auto",
        description="Number format to compute in. `auto` chooses what is fast on the device and logs why. `int8` "
        "(CPUs only) computes the linear layers in int8, which may change an answer. `int4` computes "
        "those of the decoder in int4: it changes more, but needs less memory and answers one or two "
        "clients faster; it needs the extra `cpu`.",
    )
    compiled_code: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether CPUs run code that numba compiles (needs the extra `cpu`): for small models in "
        "float32, and for the vision encoder where the CPU has no vectors wider than AVX2. `auto` "
        "compiles in the background at the first start, and loads the code once a worker is ready; "
        "decoders then resize images with it too, to the same pixels. `off` uses torch instead: "
        "slower, less memory. Decode steps in int8 and int4 are compiled in either case.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Compute threads of a worker, 0 to 1024. 0 divides the machine's cores among the CPU workers."
        " A worker of a small model then gets one thread, and a second for encoding while it has one "
        "answer and the other workers have none. `PHEYE_DEVICES` sets the number of workers.",
    )
    slots: int = Field(
        default=0,
        ge=0,
        le=512,
        description="Answers that one worker generates at the same time, 1 to 512. 0 is 8 on a CPU, and on a GPU "
        "as many as its memory holds, up to 64. `pheye dev bench --only slots` measures how many pay "
        "off on a CPU.",
    )
    context_tokens: int = Field(
        default=1024, ge=64, le=2048, description="Tokens a slot holds, prompt and answer together, 64 to 2048."
    )
    stall_s: float = Field(
        default=0.25,
        ge=0.0,
        le=60.0,
        description="Seconds per step by which encoding and prefilling of new requests may delay the running "
        "answers, 0 to 60. It is a target: at least one tile is always encoded.",
    )
    step_timeout_s: float = Field(
        default=120.0,
        ge=2.0,
        le=3600.0,
        description="Seconds without progress after which a worker is killed and replaced, 2 to 3600; an idle worker "
        "reports once a second.",
    )
    feature_cache_bytes: int | None = Field(
        default=None,
        ge=0,
        le=1024 * GIB,
        description="Bytes of image features a worker keeps for reuse, 0 (none) to 1 TiB; absent: what the slots leave "
        "of a GPU's memory, and 1 GiB on a CPU.",
    )
    feature_folder: OptionalFolder = Field(
        default=None,
        description="Folder that keeps image features when a worker or the service restarts, shared by all "
        "workers; absent: none. It pays off for models that take longer to encode an image than to "
        "read it from a disk.",
    )
    feature_folder_bytes: int = Field(
        default=10 * GIB,
        ge=1024**2,
        le=1024**5,
        description="Bytes that the files of the feature folder may add up to, 1 MiB to 1 PiB; the least recently used "
        "are removed.",
    )
    prepared_weights_folder: OptionalFolder = Field(
        default=None,
        description="Folder that keeps the rounded weights of `int8` and `int4`, about 3 GB for x4-448; absent: "
        "none. A start maps them instead of rounding again, and all workers share one copy in memory."
        " The three models or precisions used last are kept.",
    )
    gpu_memory_share: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Share of a GPU's memory to plan with, above 0 up to 1; workers on one GPU divide it.",
    )
