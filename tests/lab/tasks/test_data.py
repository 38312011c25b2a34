"""Laws of the data loaders, on small files of the same formats, served on loopback."""

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from mementum.lab.tasks.data import cifar, download, mnist, wikitext
from mementum.lab.tasks.data import idx as idx_files
from mementum.lab.tasks.data.download import DataError, Source, file
from mementum.lab.tasks.registry import of_tier
from mementum.lab.tasks.task import Task, Tier

DRAWN = np.random.default_rng(0)
IMAGES = DRAWN.integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.arange(5, dtype=np.uint8)
PICTURES = DRAWN.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
TEXT = " = A title = \n \n Some words , é .\n".encode()


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def tar(members: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return whole.getvalue()


RECORD = np.concatenate([LABELS[:4, None], PICTURES.reshape(4, -1)], axis=1).tobytes()
BATCHES = {name: RECORD for part in cifar.PARTS.values() for name in part}
WIKI = {f"wikitext-2-raw/wiki.{part}.raw": TEXT for part in ("train", "valid", "test")}
FILES = {
    "images": idx(IMAGES),
    "labels": idx(LABELS),
    "cifar": tar(BATCHES),
    "wikitext": zipped(WIKI),
}


class Mirror:
    """A server on loopback that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                place, name = self.path.strip("/").split("/")
                content = FILES[name]
                if place == "gone":
                    self.send_error(404)
                    return
                if place == "garbled":
                    self.wfile.write(b"Please log in first.\r\n\r\n")
                    return
                self.send_response(200)
                self.send_header("Connection", "close")
                if place == "cut":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n" % len(content) + content[:9])
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                sent = content[: len(content) // 2] if place == "torn" else content
                self.wfile.write(sent[::-1] if place == "other" else sent)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def source(self, name: str, *places: str) -> Source:
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        return Source(
            name,
            hashlib.sha256(FILES[name]).hexdigest(),
            tuple(f"{base}/{place}/{name}" for place in places or ("whole",)),
        )

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv(download.FOLDER, str(tmp_path / "data"))
    monkeypatch.delenv(download.OFFLINE, raising=False)
    started = Mirror()
    yield started
    started.close()


def test_mnist_is_read_as_it_was_written(mirror: Mirror) -> None:
    sources = {f"train-{name}": mirror.source(name) for name in ("images", "labels")}
    images, labels = mnist.load("train", sources)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)


def test_cifar_is_read_as_it_was_written(mirror: Mirror) -> None:
    for part, times in (("train", 5), ("test", 1)):
        pictures, labels = cifar.load(part, mirror.source("cifar"))
        assert np.array_equal(pictures, np.concatenate([PICTURES] * times))
        assert np.array_equal(labels, np.tile(LABELS[:4], times))


def test_wikitext_is_read_as_it_was_written(mirror: Mirror) -> None:
    for part in ("train", "valid", "test"):
        assert wikitext.load(part, mirror.source("wikitext")).tobytes() == TEXT


def test_a_file_is_fetched_once_and_found_again(mirror: Mirror) -> None:
    wanted = mirror.source("images")
    path = file(wanted)
    download.checked.cache_clear()
    assert file(wanted) == path
    assert mirror.asked == ["/whole/images"]
    assert [each.name for each in path.parent.iterdir()] == ["images"]


@pytest.mark.parametrize("bad", ["gone", "garbled", "torn", "cut", "other"])
def test_a_mirror_that_fails_leaves_nothing_and_the_next_is_asked(
    mirror: Mirror, bad: str
) -> None:
    with pytest.raises(DataError, match=r"cannot be fetched .*by hand.*sha256"):
        file(mirror.source("labels", bad))
    assert list(download.folder().iterdir()) == []
    path = file(mirror.source("labels", bad, "whole"))
    assert path.read_bytes() == FILES["labels"]
    assert [each.name for each in path.parent.iterdir()] == ["labels"]


def test_offline_nothing_is_asked_for_and_the_error_says_what_belongs_where(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.OFFLINE, "1")
    wanted = mirror.source("images")
    with pytest.raises(DataError) as told:
        file(wanted)
    for word in (str(download.folder() / "images"), wanted.sha256, *wanted.mirrors):
        assert word in str(told.value)
    assert mirror.asked == []
    download.folder().mkdir()
    (download.folder() / "images").write_bytes(FILES["images"])
    assert file(wanted).exists()


def test_a_file_of_other_content_is_refused_and_left_alone(mirror: Mirror) -> None:
    path = download.folder() / "images"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="Delete it"):
        file(mirror.source("images"))
    assert path.read_bytes() == b"mine"
    assert mirror.asked == []


def test_what_cannot_be_read_is_a_sentence(mirror: Mirror) -> None:
    (download.folder() / "images").mkdir(parents=True)
    with pytest.raises(DataError, match=r"images cannot be read \(Is a directory\)"):
        file(mirror.source("images"))


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"\0\0"),
        gzip.compress(bytes([0, 0, 9, 1, 0, 0, 0, 0])),
        gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 1])),
        gzip.compress(bytes([0, 0, 8, 3, 0, 0])),
        idx(LABELS)[:-9],
    ],
    ids=["text", "short", "kind", "length", "header", "torn"],
)
def test_what_is_no_idx_file_is_refused_by_its_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "odd.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.gz"):
        idx_files.read(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no tar", "no gzipped tar"),
        (tar({"data_batch_1.bin": RECORD}), "no member data_batch_2"),
        (tar({**BATCHES, "data_batch_3.bin": RECORD[:-1]}), "no multiple of 3073"),
        (tar(BATCHES)[:-2000], "archive"),
    ],
    ids=["text", "member", "record", "torn"],
)
def test_what_is_no_cifar_archive_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "odd.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        cifar.read(path, cifar.PARTS["train"])


def test_what_is_no_wikitext_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    for content, words in ((b"no zip", "no zip"), (zipped({"x": b""}), "no member")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            wikitext.read(path, "wiki.train.raw")


def test_only_web_addresses_are_mirrors() -> None:
    with pytest.raises(ValueError, match="no web address"):
        Source("x", "0" * 64, ("file:///etc/passwd",))
    for each in (*mnist.SOURCES.values(), cifar.SOURCE, wikitext.SOURCE):
        assert len(bytes.fromhex(each.sha256)) == 32
        assert all(mirror.startswith("https://") for mirror in each.mirrors)


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("task", of_tier(Tier.PAPER), ids=lambda task: task.name)
def test_the_papers_tasks_train_on_their_data_reproducibly(task: Task) -> None:
    assert len(bytes.fromhex(task.data())) == 32
    before = torch.get_rng_state()
    one, two, other = (task.start(seed, steps=3) for seed in (0, 0, 1))
    for step in range(3):
        loss = one.loss(step)
        loss.backward()
        assert loss.item() == two.loss(step).item() != other.loss(step).item()
    assert all(each.grad is not None for each in one.parameters())
    with torch.no_grad():
        assert one.evaluate() == two.evaluate()
    assert torch.equal(torch.get_rng_state(), before)
