"""Limits of control groups of both versions: a container's own, a service's, and those of groups around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.machine import control_groups
from model.machine.control_groups import cores_left, memory_left
from model.machine.free_memory import MB, available_mb


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in place of the kernel's; `cgroup` in it is the file that names the process's groups."""
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "_OWN", tmp_path / "cgroup")
    return tmp_path


def written(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups_there_is_no_limit(groups: Path) -> None:
    assert cores_left() is memory_left() is None


def test_a_container_of_the_second_version_sees_its_own_group(groups: Path) -> None:
    (groups / "cgroup").write_text("0::/\n")
    stat = "anon 5\ninactive_file 30\nactive_file 7"
    written(groups / "groups", cpu__max="150000 100000", memory__max=1000, memory__current=400, memory__stat=stat)
    assert cores_left() == 1.5
    assert memory_left() == 630, "files that nobody reads are given back"


def test_no_limit_is_called_max_or_minus_one(groups: Path) -> None:
    (groups / "cgroup").write_text("4:cpu,cpuacct:/\n0::/\n")
    written(groups / "groups", cpu__max="max 100000", memory__max="max", memory__current=400)
    written(groups / "groups/cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert cores_left() is memory_left() is None


def test_a_service_is_bounded_by_its_own_group_and_by_those_around_it(groups: Path) -> None:
    (groups / "cgroup").write_text("0::/system.slice/pheye.service\n")
    written(
        groups / "groups/system.slice/pheye.service", cpu__max="400000 100000", memory__max=900, memory__current=100
    )
    written(groups / "groups/system.slice", cpu__max="200000 100000", memory__max=5000, memory__current=4900)
    assert cores_left() == 2
    assert memory_left() == 100


def test_a_container_of_the_first_version_has_its_group_mounted_though_its_path_is_the_hosts(groups: Path) -> None:
    (groups / "cgroup").write_text("9:memory:/docker/4f2a\n4:cpu,cpuacct:/docker/4f2a\n1:name=systemd:/docker/4f2a\n")
    written(groups / "groups/cpu", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    stat = "cache 90\ntotal_inactive_file 50"
    written(groups / "groups/memory", memory__limit_in_bytes=1000, memory__usage_in_bytes=900, memory__stat=stat)
    assert cores_left() == 1
    assert memory_left() == 150


def test_available_memory_is_the_machines_or_the_groups_if_that_is_less(groups: Path) -> None:
    machine_mb = available_mb()
    assert machine_mb is not None
    assert machine_mb > 1
    (groups / "cgroup").write_text("0::/\n")
    written(groups / "groups", memory__max=1_000_000, memory__current=400_000)
    assert available_mb() == 600_000 / MB
