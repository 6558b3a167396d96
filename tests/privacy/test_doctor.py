"""What the doctor sees, and what Ray and crashes are kept from."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator import core_dumps, open_proxies, ray_privacy
from orchestrator.cli.main import cli
from orchestrator.doctor import Check, database, object_store, proxy, store, switches, tracebacks
from orchestrator.doctor import ray as fits
from orchestrator.ray_privacy import NotPrivate


def test_a_new_home_is_well_and_the_doctor_leaves_no_trace(home: Path) -> None:
    home.rmdir()
    done = CliRunner().invoke(cli, ["doctor", "-o", "json"])
    assert done.exit_code == 0, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert {check["state"] for check in checks} == {"ok", "not needed"}
    assert {"home", "database", "store", "core dumps", "ray", "RAY_LOG_TO_STDERR"} <= {one["check"] for one in checks}
    assert not home.exists()


def test_a_home_that_others_can_enter_is_not_ok_and_the_exit_code_says_so(home: Path) -> None:
    home.chmod(0o755)
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 7
    assert f"home\tnot ok\t{home} has mode 755: others get in\tchmod 700 {home}" in done.stdout
    assert f"chmod 700 {home}" in done.stderr
    home.chmod(0o700)
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 0


def test_the_first_command_makes_a_home_for_its_owner_alone(home: Path) -> None:
    home.rmdir()
    assert CliRunner().invoke(cli, ["prompt", "list"]).exit_code == 0
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_database_that_is_none_or_does_not_answer_is_not_ok(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("no database" * 100)
    assert database(f"sqlite:///{tmp_path}/registry.db").state == "not ok"
    silent = database("postgresql://nobody@127.0.0.1:1/none")
    assert silent.state == "not ok"
    assert silent.todo
    assert database(f"sqlite:///{tmp_path}/new.db") == Check("database", "ok", "is not there yet")


def test_a_store_answers_or_is_not_ok(tmp_path: Path) -> None:
    assert store(str(tmp_path)).state == "ok"
    assert store("nothing://there").state == "not ok"
    (tmp_path / "file").touch()
    assert store(str(tmp_path / "file")).state == "not ok"


def test_tracebacks_that_are_asked_for_are_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracebacks().state == "ok"
    monkeypatch.setenv("PROMPTCTL_DEBUG", "1")
    assert tracebacks().state == "not ok"


def test_a_path_that_is_too_long_for_ray_is_not_ok(tmp_path: Path) -> None:
    assert fits(Path("/tmp/p")).state == "not needed"
    assert fits(tmp_path / ("p" * 60)).todo == "set PROMPTCTL_HOME to a shorter folder"


def test_rays_objects_lie_in_memory_where_there_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert object_store().state == "ok"
    monkeypatch.setattr(ray_privacy, "OBJECT_STORE", 1 << 60)
    assert "--shm-size" in object_store().todo
    monkeypatch.setattr(ray_privacy, "MEMORY", tmp_path / "none")
    assert object_store().state == "not ok"


def test_a_proxy_that_nothing_would_close_is_not_ok(tmp_path: Path) -> None:
    assert proxy(Path(sys.executable).parent).state == "ok"
    assert "install promptctl again" in proxy(tmp_path).todo


def test_an_admin_socket_that_every_user_can_reach_is_found(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pc", dir="/tmp"))  # pytest's own folders are closed, and their paths long
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "admin.sock"))
        (folder / "admin.sock").chmod(0o666)
        assert list(open_proxies.admin_sockets(folder)) == [folder / "admin.sock"]
        folder.chmod(0o700)
        assert list(open_proxies.admin_sockets(folder)) == []
        folder.chmod(0o755)
        (folder / "admin.sock").chmod(0o600)
        assert list(open_proxies.admin_sockets(folder)) == []
    shutil.rmtree(folder)
    assert list(open_proxies.admin_sockets(tmp_path / "none")) == []


def test_ports_of_a_proxy_that_listen_everywhere_are_found(tmp_path: Path) -> None:
    rows = (
        "   0: 00000000:20D4 00000000:0000 0A 0 0 0 0",  # 0x20D4 = 8404, on every interface, listens
        "   1: 0100007F:238D 00000000:0000 0A 0 0 0 0",  # 0x238D = 9101, on 127.0.0.1
        "   2: 00000000:1F40 00000000:0000 0A 0 0 0 0",  # 8000
    )
    (tmp_path / "tcp").write_text("\n".join(("  sl  local_address rem_address   st", *rows)))
    (tmp_path / "tcp6").write_text(f"  sl\n   0: {'0' * 32}:238D {'0' * 32}:0000 01 0 0\n")  # 01: a connection
    assert list(open_proxies.open_ports((tmp_path / "tcp", tmp_path / "tcp6", tmp_path / "none"))) == [8404]


def test_a_switch_that_the_environment_sets_otherwise_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch in ray_privacy.SWITCHES:
        monkeypatch.setenv(switch.name, "otherwise")
    assert all("over otherwise" in check.found for check in switches() if check.check.startswith("RAY_"))
    ray_privacy.apply()
    assert {os.environ[switch.name] for switch in ray_privacy.SWITCHES}.isdisjoint({"otherwise"})
    assert not any("over" in check.found for check in switches())


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """What Ray makes of its folder, with the switches on."""
    (tmp_path / "ray" / "s" / "session_2026" / "logs" / "events").mkdir(parents=True)
    (tmp_path / "ray").chmod(0o700)
    (tmp_path / "ray" / "s" / "session_2026" / "logs" / "debug_state.txt").touch()
    return tmp_path / "ray" / "s" / "session_2026"


def test_a_ray_that_keeps_a_log_is_refused(session: Path) -> None:
    ray_privacy.check(session.parents[1], session)
    (session / "logs" / "worker-1.out").touch()
    with pytest.raises(NotPrivate, match=r"Ray writes worker-1\.out"):
        ray_privacy.check(session.parents[1], session)


def test_a_ray_whose_folder_others_can_read_is_refused(session: Path) -> None:
    session.parents[1].chmod(0o755)
    with pytest.raises(NotPrivate, match="others can read"):
        ray_privacy.check(session.parents[1], session)


def test_processes_that_start_unheard_say_nothing_and_we_still_do(capfd: pytest.CaptureFixture[str]) -> None:
    say = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr)"]
    with ray_privacy.unheard():
        subprocess.run(say, check=True)
        print("ours", file=sys.stderr)  # noqa: T201 - what is tested
    subprocess.run(say, check=True)
    assert capfd.readouterr() == ("out\n", "ours\nerr\n")


def test_a_command_and_what_it_starts_leave_no_core_dump() -> None:
    script = (
        "import resource, subprocess, sys\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
        "from orchestrator import core_dumps\n"
        "core_dumps.forbid()\n"
        "subprocess.run([sys.executable, '-c', 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("0", "1")
    assert core_dumps.forbidden() == (resource.getrlimit(resource.RLIMIT_CORE)[0] in (0, 1))
