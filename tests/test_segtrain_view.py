"""view: a server that answers this machine and its own page alone, refuses in sentences, and outlives every upload."""

import gzip
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from viewed import drawn_field

from segtrain.cli import main
from segtrain.counting.cell_measures import measure_cells
from segtrain.data.samples import Classes
from segtrain.viewing.page_server import Server
from segtrain.viewing.viewer import MAX_BYTES, count_data, server_of
from smearsynth.base.errors import UserError


@pytest.fixture(scope="module")
def server(viewed: Path) -> Iterator[Server]:
    with server_of(viewed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status, and what is told: JSON, or else bytes."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if answer.getheader("Content-Type") == "application/json" else content


def segment(
    server: Server, data: bytes, name: str = "field.png", scale: str = "0.2", **headers: str
) -> tuple[int, Any]:
    return ask(server, "POST", f"/segment?name={quote(name)}&um_per_px={scale}", data, **headers)


def raw(server: Server, head: str) -> bytes:
    """All that a server answers to a request without a body, whatever its head promises."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as client:
        client.sendall(head.replace("\n", "\r\n").encode())
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


class TestWhoIsAnswered:
    def test_only_loopback_is_listened_on(self, server: Server) -> None:
        assert server.socket.getsockname() == ("127.0.0.1", server.server_port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.server_port), timeout=5)

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}"]
    )
    def test_another_host_is_refused(self, server: Server, host: str) -> None:
        for method, path in (("GET", "/"), ("GET", "/about"), ("POST", "/segment")):
            status, told = ask(server, method, path, Host=host.format(port=server.server_port))
            assert (status, list(told)) == (421, ["error"])

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1"])
    def test_a_post_of_another_page_is_refused(self, server: Server, origin: str) -> None:
        status, told = segment(server, png(drawn_field()), Origin=origin.format(port=server.server_port))
        assert (status, list(told)) == (403, ["error"])

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_its_own_page_is_answered_under_both_names(self, server: Server, name: str) -> None:
        host = f"{name}:{server.server_port}"
        assert ask(server, "GET", "/", Host=host)[0] == 200
        assert segment(server, png(drawn_field()), Host=host, Origin=f"http://{host}")[0] == 200

    def test_nothing_but_the_page_is_there(self, server: Server) -> None:
        for path in ("/etc/passwd", "/../view.py", "/%2e%2e/answer.py", "/answer.py", "//evil.example/"):
            assert ask(server, "GET", path)[0] == 404
        answer = raw(server, f"GET http://[ HTTP/1.0\nHost: 127.0.0.1:{server.server_port}\n\n")
        assert answer.startswith(b"HTTP/1.0 404 ")

    def test_the_page_may_load_only_what_is_served_here(self, server: Server) -> None:
        answer = raw(server, f"GET / HTTP/1.0\nHost: 127.0.0.1:{server.server_port}\n\n").decode()
        head, _, page = answer.partition("\r\n\r\n")
        assert "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'" in head
        assert "http" not in page
        assert "Research only, not a diagnosis" in page


class TestWhatIsTold:
    def test_empty_glass_has_no_cell_and_no_share(self, server: Server) -> None:
        glass = drawn_field()[45:75, 45:75]
        glass[:] = glass[15, 15]
        status, told = segment(server, png(np.tile(glass, (3, 3, 1))))
        assert (status, told["objects"], told["warnings"][0]) == (200, [], "No cell was counted.")
        assert "is blank or nearly so" in told["warnings"][1]
        assert [(line["name"], line["value"]) for line in told["summary"]] == [("Red cells", "0"), ("White cells", "0")]
        assert told["csv"].count("\n") == 1

    def test_of_classes_that_the_network_does_not_know_there_is_no_figure(self) -> None:
        label = np.zeros((60, 60), np.uint8)
        label[10:40, 10:40] = 1
        keys = ("background", "cell")
        found = measure_cells(label, label * 255, keys=keys, um_per_px=0.2)
        told = count_data(found, Classes((0, 1), keys, ("#000000", "#ffffff")), "a.png", {"um_per_px": 0.2})
        assert (told["counts"], told["summary"]) == ({1: 1, 255: 0}, [])

    def test_a_cell_has_its_number_its_box_and_its_edges(self, server: Server) -> None:
        _, told = segment(server, png(drawn_field()[:, 30:]), name="a.png")
        cells = np.frombuffer(gzip.decompress(b64decode(told["cells"])), "<i4").reshape(told["height"], told["width"])
        assert [(line["name"], line["value"]) for line in told["summary"][:1]] == [("Red cells", "20")]
        assert len(told["objects"]) == cells.max() == 20
        for number, cell in enumerate(told["objects"], 1):
            rows, columns = np.nonzero(cells == number)
            box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert np.abs(np.subtract(box, [cell[side] for side in ("x", "y", "width", "height")])).max() <= 1
            assert cell["note"] == ("Cut by the left edge" if columns.min() == 0 else "")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("length", "status"),
        [
            (f"Content-Length: {MAX_BYTES + 1}", 413),
            (f"Content-Length: {10**30}", 413),
            ("Content-Length: -1", 411),
            ("Content-Length: ²", 411),
            ("Transfer-Encoding: chunked", 411),
        ],
    )
    def test_a_length_is_judged_before_a_byte_is_read(self, server: Server, length: str, status: int) -> None:
        head = f"POST /segment HTTP/1.0\nHost: 127.0.0.1:{server.server_port}\n{length}\n\n"
        answer = raw(server, head)
        assert answer.startswith(f"HTTP/1.0 {status} ".encode())
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"].endswith(".")

    def test_an_upload_that_is_too_large_reads_why(self, server: Server) -> None:
        status, told = segment(server, bytes(MAX_BYTES + 1))
        assert status == 413
        assert "over 100 MiB" in told["error"]

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "field.png: the file is empty"),
            (b"no image", "field.png: cannot be read as an image"),
            (png(drawn_field())[:999], "field.png: cannot be read as an image"),
            (png(np.zeros((4, 4, 3), np.uint8)), "field.png: 4x4 px show no cell"),
            (png(np.zeros((8, 5_000_001), np.uint8)), "field.png: images may have up to 40 megapixels"),
            (png(np.zeros((8, 32_768), np.uint8)), "field.png: is 32768x8 px, and a browser shows up to 32,767 px a"),
        ],
    )
    def test_a_file_that_is_no_field(self, server: Server, data: bytes, said: str) -> None:
        status, told = segment(server, data)
        assert (status, list(told)) == (422, ["error"])
        assert told["error"].startswith(said)
        assert segment(server, png(drawn_field()))[0] == 200

    @pytest.mark.parametrize(
        ("scale", "said"),
        [
            ("0", "The scale: 0 um/px is outside 0.01 to 2.0; give micrometres per pixel"),
            ("nan", "The scale: nan um/px is outside 0.01 to 2.0; give micrometres per pixel"),
            ("scales.csv", "The scale scales.csv: give a number, or `auto`"),
            ("2", "field.png: at 2 um/px it is brought to 20000x20000 px"),
            ("auto", "field.png: shows 0 single red cells and `auto` needs 5; give the scale in numbers"),
        ],
    )
    def test_a_scale_that_cannot_be(self, server: Server, scale: str, said: str) -> None:
        status, told = segment(server, png(np.full((2000, 2000), 235, np.uint8)), scale=scale)
        assert status == 422
        assert told["error"].startswith(said)

    def test_a_defect_of_the_work_is_told_and_the_next_image_served(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("[enforce fail] can't allocate memory")

        with monkeypatch.context() as patched:
            patched.setattr(server, "answer", fail)
            status, told = segment(server, png(drawn_field()))
        assert (status, told) == (
            500,
            {"error": "The work on this image failed (RuntimeError: [enforce fail] can't allocate memory)."},
        )
        assert "Traceback" in capsys.readouterr().err
        assert segment(server, png(drawn_field()))[0] == 200

    @pytest.mark.slow
    @pytest.mark.parametrize("linger", [(0, 0), (1, 0)], ids=["in order", "with a reset"])
    def test_a_client_that_leaves_is_not_worked_for(
        self, server: Server, capfd: pytest.CaptureFixture[str], linger: tuple[int, int]
    ) -> None:
        data = png(np.tile(drawn_field(), (12, 9, 1)))
        host = f"127.0.0.1:{server.server_port}"
        with socket.create_connection(("127.0.0.1", server.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", *linger))
            head = f"POST /segment?um_per_px=0.2 HTTP/1.0\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
            client.sendall(head.encode() + data)
            while linger[0] and not server.working.locked():
                sleep(0.01)
        assert segment(server, png(drawn_field()))[0] == 200
        assert server.share == 1
        assert capfd.readouterr().err == ""


class TestTheCommand:
    @pytest.mark.slow
    def test_ctrl_c_ends_it_in_the_middle_of_an_image_and_leaves_nothing(self, viewed: Path, tmp_path: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in viewed.rglob("*")}
        command = [sys.executable, "-m", "segtrain", "view", str(viewed), "--no-browser"]
        environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/"))
            data = png(np.tile(drawn_field(), (12, 9, 1)))
            client = HTTPConnection("127.0.0.1", port)
            client.request("POST", "/segment?um_per_px=0.2", data)
            other = HTTPConnection("127.0.0.1", port)
            share = 0
            while not share:
                other.request("GET", "/progress")
                share = json.loads(other.getresponse().read())["share"]
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        assert share < 1
        assert (process.returncode, output, errors) == (0, "", "Ctrl-C ends it.\n")
        assert list(tmp_path.iterdir()) == []
        assert {path: path.stat().st_mtime_ns for path in viewed.rglob("*")} == before

    @pytest.mark.parametrize("words", [("--um-per-px", "0"), ("--um-per-px", "scales.csv"), ("--port", "99999")])
    def test_a_mistake_takes_a_sentence(self, viewed: Path, words: tuple[str, str]) -> None:
        result = CliRunner().invoke(main, ["view", str(viewed), *words])
        assert (result.exit_code, result.stdout) == (2, "")
        assert words[0] in result.stderr

    def test_a_folder_that_is_no_run(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(main, ["view", str(tmp_path)])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)

    def test_a_port_that_is_taken(self, server: Server, viewed: Path) -> None:
        with pytest.raises(UserError, match=rf"{server.server_port} cannot be had .*\(port\)"):
            server_of(viewed, port=server.server_port)
