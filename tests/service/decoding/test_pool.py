"""The pool of decoders: right pixels, and no harm to others from images that are slow, large, deadly or given up."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from unittest.mock import AsyncMock

import numpy as np
import pytest
from PIL import Image

from service.decoding import pool as pool_module
from service.decoding.decode import tile
from service.decoding.decoder import DecoderProcess
from service.decoding.limits import first_when_memory_is_short
from service.errors import InvalidField, TooLarge, Unavailable
from service.images import ImageSource
from tests.support.decoders import (
    LEVEL,
    TILE_PX,
    alive,
    decode,
    decoder_kills,
    killed,
    running_pool,
    slow_file,
    until,
)
from tests.support.hostile import png_bad_exif, tiff_tile
from tests.support.serving import data_uri, image_file

LARGE = image_file("PNG", (1200, 900))  # some milliseconds of work
CASES = [(form, mode) for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF") for mode in ("RGB", "L")] + [
    ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1"), ("PNG", "LA"), ("WEBP", "RGBA"), ("JPEG", "CMYK"), ("TIFF", "CMYK"),
    ("TIFF", "LAB"), ("TIFF", "I"), ("AVIF", "RGB"), ("AVIF", "RGBA"),
]  # fmt: skip


def test_tiles_from_a_decoder_are_those_of_its_naive_twin_for_every_format():
    files = {f"{form} {mode}": image_file(form, (97, 61), mode) for form, mode in CASES if mode != "LAB"}
    turned = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_mandelbrot((97, 61), (-2, -1.5, 1, 1.5), 60).save(turned, "JPEG", exif=exif)
    files["turned"] = turned.getvalue()

    async def main():
        async with running_pool(decoders=2) as pool:
            got = await asyncio.gather(*(decode(pool, file) for file in files.values()))
            uri = ImageSource(data_uri(files["JPEG RGB"]))
            return dict(zip(files, got, strict=True)), await pool.decode(uri, tile_px=TILE_PX, level=LEVEL)

    got, from_uri = asyncio.run(main())
    for name, file in files.items():
        twin = tile(ImageSource(file), max_pixels=10**6, tile_px=TILE_PX, level=LEVEL)
        assert (got[name].image_key, got[name].width_px, got[name].height_px) == (
            twin.image_key, twin.width_px, twin.height_px,
        )  # fmt: skip
        np.testing.assert_array_equal(got[name].tiles, twin.tiles)
    assert from_uri.image_key == got["JPEG RGB"].image_key


def test_two_hundred_kills_cost_nobody_else_an_image():
    async def main():
        async with running_pool(decoders=2) as pool:
            outcomes = await decoder_kills(pool, image_file("PNG", (400, 300)), kills=200, clients=6)
            await until(lambda: len(pool.pids) == 2)
            return outcomes

    outcomes = asyncio.run(main())
    assert set(outcomes) <= {"image", "refused"}
    assert outcomes["image"] > 20
    assert outcomes["refused"] <= 200 // 2  # each had two decoders killed under it


def test_an_image_that_takes_too_long_is_refused_and_its_decoder_replaced():
    async def main():
        async with running_pool(decoders=1, decode_timeout_s=2.0) as pool:
            await until(lambda: pool.pids)
            (before,) = pool.pids
            with pytest.raises(InvalidField, match=r"image: could not be decoded within 2 s"):
                await decode(pool, slow_file())
            assert (await decode(pool, image_file())).width_px == 96
            await until(lambda: not alive(before))
            assert killed(pool, "timeout") == 1

    asyncio.run(main())


def test_the_kernel_ends_a_decoder_that_nobody_watches():
    async def main():
        async with running_pool(decoders=1, limits={"timeout_s": 0.5}) as pool:
            await until(lambda: pool.pids)
            pool._limits = pool_module.decode_limits(pool_module.Settings())  # now this side waits for longer
            with pytest.raises(InvalidField, match="could not be decoded within"):
                await decode(pool, slow_file())

    asyncio.run(main())


def test_who_leaves_frees_the_decoder_at_once():
    async def main():
        async with running_pool(decoders=2) as pool:
            await until(lambda: len(pool.pids) == 2)
            before = pool.pids
            hogs = [decode(pool, slow_file()) for _ in range(4)]  # two of them wait
            await until(lambda: len(pool._busy) == 2)
            for hog in hogs:
                hog.cancel()
            assert (await asyncio.wait_for(decode(pool, image_file()), 5)).width_px == 96
            await asyncio.gather(*hogs, return_exceptions=True)
            await until(lambda: not any(map(alive, before)))
            await until(lambda: len(pool._idle) == 2)
            assert killed(pool, "cancelled") == 2

    asyncio.run(main())


def test_memory_beyond_the_limit_is_refused_and_the_next_image_read():
    file = image_file("PNG", (6000, 5000), "RGBA")  # drawn before the pool runs: it takes seconds

    async def main():
        async with running_pool(decoders=1, limits={"memory_bytes": 64 * 1024**2}) as pool:
            with pytest.raises(InvalidField, match="needs more memory than allowed"):
                await decode(pool, file)
            assert (await decode(pool, image_file())).width_px == 96
            assert killed(pool, "memory") == 1

    asyncio.run(main())


def test_when_memory_is_short_the_kernel_ends_a_decoder_with_an_image_before_any_worker():
    def score(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))

    async def main():
        async with running_pool(decoders=1) as pool:
            await until(lambda: pool.pids)
            (decoder,) = pool.pids
            assert score(decoder) == score("self"), "an idle decoder is no better to end than others"
            slow = decode(pool, slow_file())
            await until(lambda: score(decoder) == 1000)
            slow.cancel()

    asyncio.run(main())
    before = score("self")
    with pytest.raises(OSError, match="a file"), first_when_memory_is_short():
        raise OSError("a file is cut off")
    assert score("self") == before


def test_the_limits_suffice_for_the_largest_image_of_the_dearest_formats():
    dearest = (("WEBP", "RGBA"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("AVIF", "RGBA"))
    files = [image_file(form, (4000, 3000), mode) for form, mode in dearest]

    async def main():
        async with running_pool(decoders=1, max_pixels=12_000_000) as pool:
            for file in [*files, files[1][:-2]]:  # the last is decoded twice, to see what its end has lost
                assert (await decode(pool, file)).width_px == 4000

    asyncio.run(main())


def test_a_crash_is_its_senders_alone_and_is_not_tried_again():
    async def main():
        async with running_pool(decoders=1) as pool:
            await until(lambda: pool.pids)
            waiting = decode(pool, slow_file())
            await until(lambda: pool._busy)
            os.kill(pool.pids[0], signal.SIGSEGV)
            with pytest.raises(InvalidField, match="its decoder crashed"):
                await waiting
            assert killed(pool, "crash") == 1
            assert (await decode(pool, image_file())).width_px == 96

    asyncio.run(main())


def test_an_image_whose_decoder_is_killed_is_tried_three_times_and_not_again():
    async def main():
        async with running_pool(decoders=1) as pool:
            waiting = decode(pool, slow_file())
            for death in range(1, 4):
                await until(lambda: pool._busy)
                os.kill(pool.pids[0], signal.SIGKILL)
                await until(lambda at=death: killed(pool, "killed") == at)
            with pytest.raises(InvalidField, match="3 decoders were killed, one after the other: by the system"):
                await waiting
            assert (await decode(pool, image_file())).width_px == 96

    asyncio.run(main())


def test_a_decoder_that_is_stopped_costs_its_image_a_pause_and_no_blame():
    async def main():
        async with running_pool(decoders=1, decode_timeout_s=1.0) as pool:
            await until(lambda: pool.pids)
            (before,) = pool.pids
            os.kill(before, signal.SIGSTOP)
            assert (await decode(pool, image_file())).width_px == 96
            assert killed(pool, "hung") == 1
            await until(lambda: not alive(before))

    asyncio.run(main())


def test_decoders_that_do_not_respond_are_the_services_fault(monkeypatch):
    ready = DecoderProcess.ready

    async def ready_and_stopped(self):
        await ready(self)
        os.kill(self.pid, signal.SIGSTOP)

    async def main():
        async with running_pool(decoders=2, decode_timeout_s=0.5) as pool:
            with pytest.raises(Unavailable, match=r"did not respond within 0\.5 s, and others failed") as refused:
                await decode(pool, image_file())
            assert refused.value.retry_after_s
            assert killed(pool, "hung") == 3

    monkeypatch.setattr(DecoderProcess, "ready", ready_and_stopped)
    asyncio.run(main())


def test_a_decoder_hangs_if_it_got_no_computing_time():
    async def main():
        async with running_pool(decoders=1) as pool:
            await decode(pool, LARGE)
            (decoder,) = pool._idle
            decoder._given_cpu_s = decoder._observed().cpu_s
            decoder._given_s -= 5.0
            assert decoder.hangs()
            decoder._given_cpu_s -= 2.0
            assert not decoder.hangs()

    asyncio.run(main())


def test_decoders_that_are_killed_while_idle_are_replaced_unasked():
    async def main():
        async with running_pool(decoders=2) as pool:
            await until(lambda: len(pool.pids) == 2)
            before = pool.pids
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(pool.pids) == 2 and not set(before) & set(pool.pids))
            await until(lambda: killed(pool, "killed") == 2)

    asyncio.run(main())


def test_a_decoder_is_replaced_after_its_share_of_images():
    async def main():
        async with running_pool(decoders=1, limits={"images": 3}) as pool:
            pids = set()
            for _ in range(7):
                await decode(pool, image_file())
                await until(lambda: pool.pids)
                pids.update(pool.pids)
            assert len(pids) >= 3
            assert killed(pool, "killed") + killed(pool, "crash") == 0

    asyncio.run(main())


def test_memory_goes_back_when_there_is_nothing_to_do():
    file = image_file("PNG", (6000, 5000))

    async def main():
        async with running_pool(decoders=1) as pool:
            await decode(pool, file)
            await until(lambda: pool.pids and resident_mb(pool.pids[0]) < 110)

    asyncio.run(main())


def resident_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    except OSError:
        return float("inf")


def test_waiting_images_are_taken_in_turns_of_their_clients():
    async def main():
        async with running_pool(decoders=1) as pool:
            ended = []
            greedy = [decode(pool, LARGE, "greedy") for _ in range(12)]
            await asyncio.sleep(0)
            modest = decode(pool, image_file(), "modest")
            for task in (*greedy, modest):
                task.add_done_callback(ended.append)
            await asyncio.gather(*greedy, modest)
            assert ended.index(modest) <= 2

    asyncio.run(main())


def test_slow_images_of_one_client_leave_a_decoder_to_others():
    async def main():
        async with running_pool(decoders=2) as pool:
            await decode(pool, image_file(), "modest")  # it has been here lately
            slow = [decode(pool, slow_file(), "greedy") for _ in range(4)]
            await until(lambda: pool._busy)
            for _ in range(5):
                await decode(pool, image_file(), "modest")
            assert not any(task.done() for task in slow)
            assert list(pool._busy.values()) == ["greedy"]
            for task in slow:
                task.cancel()

    asyncio.run(main())


def test_a_client_alone_may_have_all_decoders():
    async def main():
        async with running_pool(decoders=2) as pool:
            slow = [decode(pool, slow_file(), "alone") for _ in range(3)]
            await until(lambda: len(pool._busy) == 2)
            for task in slow:
                task.cancel()

    asyncio.run(main())


def test_the_end_waits_for_no_decoder_and_leaves_none():
    async def main():
        async with running_pool(decoders=2) as pool:
            await until(lambda: len(pool.pids) == 2)
            pids = pool.pids
            waiting = [decode(pool, slow_file()) for _ in range(4)]
            await until(lambda: len(pool._busy) == 2)
            began_s = time.monotonic()
            await pool.stop()
            outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
            assert time.monotonic() - began_s < 5
            assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
            await until(lambda: not any(map(alive, pids)))
            with pytest.raises(Unavailable):
                await decode(pool, image_file())

    asyncio.run(main())


def test_a_decoder_holds_no_socket_but_its_own():
    listener = __import__("socket").create_server(("127.0.0.1", 0))

    async def main():
        async with running_pool(decoders=1) as pool:
            await decode(pool, image_file())
            (pid,) = pool.pids
            folder = f"/proc/{pid}/fd"
            return [os.stat(f"{folder}/{name}").st_mode for name in os.listdir(folder)]

    with listener:
        assert sum(map(stat.S_ISSOCK, asyncio.run(main()))) == 1


def test_ten_thousands_of_bad_tags_leave_no_word(capfd):
    async def main():
        async with running_pool(decoders=1) as pool:
            assert (await decode(pool, png_bad_exif(60_000))).width_px == 32

    asyncio.run(main())
    assert "".join(capfd.readouterr()) == ""


def test_a_refusal_costs_no_decoder():
    async def main():
        async with running_pool(decoders=1) as pool:
            await until(lambda: pool.pids)
            before = pool.pids
            with pytest.raises(TooLarge, match="a tile: 8000 x 8000"):
                await decode(pool, tiff_tile(8000))
            with pytest.raises(InvalidField, match="image: the file is empty"):
                await decode(pool, b"")
            assert pool.pids == before

    asyncio.run(main())


def test_readiness_knows_decoders_that_cannot_be_started_or_killed(monkeypatch):
    async def main():
        async with running_pool(decoders=1) as pool:
            assert pool.not_ready() is None  # being started
            monkeypatch.setattr(pool_module, "START_PATIENCE_S", -1.0)
            assert pool.not_ready() == "no image decoder can be started"
            with pytest.raises(Unavailable, match="no image decoder can be started"):
                await decode(pool, image_file())
            monkeypatch.undo()
            waiting = [decode(pool, slow_file()) for _ in range(2)]
            await until(lambda: pool._busy and pool._waiting)
            assert pool.not_ready() is None
            pool._progress_s -= 4 * pool._limits.timeout_s
            assert "and 1 wait: every decoder is busy" in pool.not_ready()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(0.2, 60.0), (0.5, 0.4)], ids=["refused", "given up"])
def test_slow_images_that_are_refused_or_given_up_one_after_the_other_leave_the_server_ready(timeout_s, patience_s):
    """A single client that sends nothing else would take every server out of its load balancer."""

    async def main():
        async with running_pool({"timeout_s": timeout_s}, decoders=1) as pool:
            await until(lambda: pool.pids)
            file, seen, end_s = slow_file(), set(), time.monotonic() + 8 * timeout_s

            async def ask(later_s):
                await asyncio.sleep(later_s)  # so that one waits whenever another gives up
                while time.monotonic() < end_s:
                    with suppress(InvalidField, TimeoutError):
                        await asyncio.wait_for(decode(pool, file), patience_s)

            asking = [asyncio.create_task(ask(0.1 * number)) for number in range(4)]
            while not all(task.done() for task in asking):
                seen.add(pool.not_ready())
                await asyncio.sleep(0.02)
            assert killed(pool, "timeout") + killed(pool, "cancelled") > 3
            assert seen == {None}

    asyncio.run(main())


@pytest.mark.parametrize(
    "failure", [BlockingIOError(11, "no process left"), ValueError("odd")], ids=["no process", "anything else"]
)
def test_a_system_that_starts_no_process_is_tried_again(monkeypatch, failure):
    attempts = []
    start = DecoderProcess.start

    def fail_first(limits):
        attempts.append(limits)
        if len(attempts) < 3:
            raise failure
        return start(limits)

    monkeypatch.setattr(DecoderProcess, "start", fail_first)

    async def main():
        async with running_pool(decoders=1) as pool:
            assert (await asyncio.wait_for(decode(pool, image_file()), 20)).width_px == 96

    asyncio.run(main())
    assert len(attempts) == 3


def test_the_computing_time_of_decoders_is_counted():
    async def main():
        async with running_pool(decoders=1) as pool:
            spent = pool._metrics.decoder_cpu_seconds._value
            assert spent.get() == 0.0
            async with asyncio.timeout(60):
                while not spent.get():  # the system counts in hundredths of a second
                    await decode(pool, LARGE)

    asyncio.run(main())


def test_a_killed_decoder_is_replaced_and_its_image_decoded_though_no_thread_can_see_its_end(monkeypatch):
    async def scenario() -> None:
        async with running_pool(decoders=1) as pool:
            monkeypatch.setattr(asyncio, "to_thread", AsyncMock(side_effect=RuntimeError("can't start new thread")))
            slow = decode(pool, slow_file())
            await until(lambda: pool._busy)
            [pid] = pool.pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pool.pids not in ([], [pid]))
            assert not slow.done()
            assert killed(pool, "killed") == 1
            slow.cancel()

    asyncio.run(scenario())
