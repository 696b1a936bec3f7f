"""Stable names of serial devices, on file systems laid out as udev and sysfs lay them out."""

from pathlib import Path

import pytest

from gateway.config import check
from gateway.devices import Devices
from tests.gateway.test_config import GOOD

CH340, CP2102, FTDI = ("1a86", "7523", ""), ("10c4", "ea60", "0001"), ("0403", "6001", "A50285BI")


class Machine:
    """A machine with USB adapters in its sockets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices = Devices(root)

    def link(self, name: str, target: str) -> None:
        """A link as udev makes it, relative."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(Path(*[".."] * (len(path.relative_to(self.root).parts) - 1)) / target.lstrip("/"))

    def node(self, name: str) -> None:
        """A device's file."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def plug(self, tty: str, socket: str, kind: tuple[str, str, str]) -> None:
        """An adapter into a socket, with all that udev and sysfs make of it."""
        maker, model, serial = kind
        usb = f"/sys/devices/usb1/1-{socket}"
        self.node(f"{usb}/1-{socket}:1.0/{tty}/dev")
        for file, word in (("idVendor", maker), ("idProduct", model), ("serial", serial)):
            if word:
                (self.root / f"{usb}/{file}".lstrip("/")).write_text(f"{word}\n")
        self.node(f"/dev/{tty}")
        self.link(f"/sys/class/tty/{tty}/device", f"{usb}/1-{socket}:1.0/{tty}")
        tail = f"_{serial}" if serial else ""
        self.link(f"/dev/serial/by-id/usb-{maker}_{model}{tail}-if00-port0", f"/dev/{tty}")
        self.link(f"/dev/serial/by-path/platform-usb-0:{socket}:1.0-port0", f"/dev/{tty}")
        self.link(f"/dev/char/188:{tty[-1]}", f"/dev/{tty}")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without adapters."""
    return Machine(tmp_path)


def refusal(machine: Machine, port: str) -> str:
    """What is wrong with a port."""
    return machine.devices.problem(port) or ""


@pytest.mark.parametrize("port", ["/dev/ttyUSB0", "ttyUSB0", "/dev//ttyUSB0", "spy:///dev/ttyUSB0?file=/tmp/x"])
def test_a_port_named_by_the_order_of_plugging_is_refused_with_the_line_of_its_socket(
    port: str, machine: Machine
) -> None:
    machine.plug("ttyUSB0", "1.2", CH340)
    problem = machine.devices.problem(port) or ""
    assert "/dev/ttyUSB0 is named by the order of plugging" in problem
    assert 'write: port = "/dev/serial/by-path/platform-usb-0:1.2:1.0-port0"' in problem


def test_an_adapter_with_a_serial_number_of_its_own_is_named_by_it(machine: Machine) -> None:
    machine.plug("ttyUSB0", "1.1", CH340)
    machine.plug("ttyUSB1", "1.2", FTDI)
    assert 'port = "/dev/serial/by-id/usb-0403_6001_A50285BI-if00-port0"' in (
        machine.devices.problem("/dev/ttyUSB1") or ""
    )


def test_a_serial_number_that_two_adapters_share_is_none(machine: Machine) -> None:
    machine.plug("ttyUSB0", "1.1", CP2102)
    machine.plug("ttyUSB1", "1.2", CP2102)
    for tty, socket in (("ttyUSB0", "1.1"), ("ttyUSB1", "1.2")):
        assert f'port = "/dev/serial/by-path/platform-usb-0:{socket}:1.0' in (
            machine.devices.problem(f"/dev/{tty}") or ""
        )


def test_a_name_that_the_school_gave_by_udev_is_suggested_first(machine: Machine) -> None:
    machine.plug("ttyACM3", "1.4", FTDI)
    machine.link("/dev/gate/reader-in", "/dev/ttyACM3")
    assert 'port = "/dev/gate/reader-in"' in (machine.devices.problem("/dev/ttyACM3") or "")
    assert machine.devices.problem("/dev/gate/reader-in") is None


def test_what_is_not_plugged_in_is_answered_with_what_is(machine: Machine) -> None:
    machine.plug("ttyUSB1", "1.3", CH340)
    problem = machine.devices.problem("/dev/ttyUSB0") or ""
    assert "nothing is plugged in there now" in problem
    assert '/dev/ttyUSB1: port = "/dev/serial/by-path/platform-usb-0:1.3:1.0-port0"' in problem


@pytest.mark.parametrize("uart", ["ttyS0", "ttyAMA0"])
def test_the_uart_of_one_model_is_refused_for_the_name_of_the_pins(uart: str, machine: Machine) -> None:
    assert 'port = "/dev/serial0"' in (machine.devices.problem(f"/dev/{uart}") or "")
    machine.node(f"/dev/{uart}")
    machine.link("/dev/serial0", f"/dev/{uart}")
    assert 'port = "/dev/serial0"' in (machine.devices.problem(f"/dev/{uart}") or "")
    assert machine.devices.problem("/dev/serial0") is None


def test_a_uart_that_is_not_the_pins_is_told_from_them(machine: Machine) -> None:
    for name in ("ttyS0", "ttyAMA0"):
        machine.node(f"/dev/{name}")
    machine.link("/dev/serial0", "/dev/ttyS0")
    assert "here the pins are /dev/ttyS0" in (machine.devices.problem("/dev/ttyAMA0") or "")


def test_a_link_made_by_hand_is_as_unstable_as_what_it_leads_to(machine: Machine) -> None:
    machine.plug("ttyUSB0", "1.1", CH340)
    machine.link("/home/gate/reader", "/dev/ttyUSB0")
    machine.link("/home/gate/good", "/dev/serial/by-path/platform-usb-0:1.1:1.0-port0")
    assert "by-path" in (machine.devices.problem("/home/gate/reader") or "")
    assert machine.devices.problem("/home/gate/good") is None


@pytest.mark.parametrize(
    "port", ["/dev/pts/3", "/tmp/ports/east-in", "socket://10.0.0.9:4001", "loop://", "rfc2217://x:1", "/dev/ttyAMA3"]
)
def test_pseudo_terminals_and_network_adapters_are_left_alone(port: str, machine: Machine) -> None:
    assert machine.devices.problem(port) is None and machine.devices.doubt(port) is None


def test_two_equal_adapters_without_numbers_are_explained_by_their_sockets(machine: Machine) -> None:
    name = "/dev/serial/by-id/usb-1a86_7523-if00-port0"
    machine.plug("ttyUSB0", "1.1", CH340)
    assert "a second one of its kind would take this name; /dev/serial/by-path/" in (machine.devices.doubt(name) or "")
    machine.plug("ttyUSB1", "1.2", CH340)
    doubt = machine.devices.doubt(name) or ""
    assert "/dev/ttyUSB1 and /dev/ttyUSB0 are equal adapters with one by-id name" in doubt
    for socket in ("1.1", "1.2"):
        assert f'port = "/dev/serial/by-path/platform-usb-0:{socket}:1.0-port0"' in doubt


def test_one_device_by_two_names_is_a_problem_of_the_file(machine: Machine, tmp_path: Path) -> None:
    machine.plug("ttyUSB0", "1.1", FTDI)
    by_id = "/dev/serial/by-id/usb-0403_6001_A50285BI-if00-port0"
    by_path = "/dev/serial/by-path/platform-usb-0:1.1:1.0-port0"
    second = GOOD[GOOD.index("[[reader]]") :].replace("east", "west").replace("loop://", by_path)
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD.replace("loop://", by_id) + second)
    found = check(path, {}, machine.devices)
    assert found.problems == [
        f"{path}: reader[2].port: {by_path} and reader[1]'s {by_id} are one device, /dev/ttyUSB0; "
        "two readers cannot share a port"
    ]


def test_the_file_is_refused_with_the_line_to_write(machine: Machine, tmp_path: Path) -> None:
    machine.plug("ttyUSB0", "1.2", CH340)
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD.replace("loop://", "/dev/ttyUSB0"))
    found = check(path, {}, machine.devices)
    assert found.config is None and len(found.problems) == 1
    assert found.problems[0].startswith(f"{path}: reader[1].port: /dev/ttyUSB0 is named by the order of plugging")


def test_a_ring_of_links_is_no_device(machine: Machine) -> None:
    machine.link("/home/a", "/home/b")
    machine.link("/home/b", "/home/a")
    assert machine.devices.problem("/home/a") is None and machine.devices.device("/home/a") is None
