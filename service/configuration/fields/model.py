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
        description="Model to serve: `pheye-tiny`, which is built in, a folder, a hub id, or `random:NAME` for a known "
        "geometry with random weights.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="Hub revision (commit, tag or branch) of the model's own repository; those of encoder, decoder and "
        "tokenizer are not pinned by it.",
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
        description="Comma-separated devices, one worker process each: `cpu`, `cuda:0`, ...; `cpu,cpu` is two workers; "
        "`auto` is the first GPU or else the CPU, where a small model (weights below 200 MB) has a worker for each "
        "core, or for each `PHEYE_THREADS` of them: up to 8, within half of the free memory.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "int8", "int4"] = Field(
        default="auto",
        description="Number format to compute in; `auto` chooses what is fast on the device and says why; `int8` "
        "is for CPUs: the linear layers multiply in int8, which may change an answer; `int4`: those of the decoder in "
        "int4, which changes more, for less memory and faster answers to one or two clients; it needs the extra `cpu`.",
    )
    compiled_code: Literal["auto", "off"] = Field(
        default="auto",
        description="Code that numba compiles for small models in float32 on CPUs, and for the vision encoder where "
        "vectors are AVX2's at most, with the extra `cpu`: `auto` loads it once a worker is ready, and has it compiled "
        "in the background the first time; `off` leaves both to torch, which is slower and takes less memory. Decode "
        "steps in int8 and int4 are compiled in either case. With `auto` decoders resize images by such code, too, "
        "where a worker has had it compiled; pixels are the same.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Compute threads of a worker, 0 to 1024; 0 divides the machine's cores among the CPU workers and "
        "gives a small model one, and a second to encode with while it has one answer and no other worker has any; see "
        "`PHEYE_DEVICES` for the number of its workers.",
    )
    slots: int = Field(
        default=0,
        ge=0,
        le=512,
        description="Answers generated at the same time by one worker, 1 to 512; 0 takes as many as a GPU's memory "
        "holds, up to 64, and 8 on a CPU, where `pheye dev bench --only slots` measures how many pay.",
    )
    context_tokens: int = Field(
        default=1024, ge=64, le=2048, description="Tokens a slot holds, prompt and answer together, 64 to 2048."
    )
    stall_s: float = Field(
        default=0.25,
        ge=0.0,
        le=60.0,
        description="Seconds per step that encoding and prefilling of new requests may delay the running answers, 0 to "
        "60; a target: at least one tile is always encoded.",
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
        description="Folder in which image features outlive a worker and a restart, shared by all workers; "
        "absent: none. It pays for models whose images take longer to encode than to read from a disk.",
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
        description="Folder in which the rounded weights of `int8` and `int4` are kept, about 3 GB for x4-448: a start "
        "maps them from there instead of rounding them again, and workers have them in memory once; absent: none. The "
        "three models or precisions used last stay in it.",
    )
    gpu_memory_share: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Share of a GPU's memory to plan with, above 0 up to 1; workers on one GPU divide it.",
    )
