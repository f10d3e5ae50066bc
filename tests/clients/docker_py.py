"""What programs do with docker-py, against the daemon that DOCKER_HOST names. Prints "done" when everything held."""
import io
import tarfile
import threading

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

client = docker.from_env(timeout=20)
assert client.ping()
assert client.version()["ApiVersion"]
info = client.info()
assert info["Driver"] in ("overlay2", "vfs") and info["OSType"] == "linux"

# Events, told while everything below happens.
seen = []
events = client.events(decode=True, filters={"type": "container"})
listener = threading.Thread(target=lambda: [seen.append(e["Action"]) for e in events], daemon=True)
listener.start()

# run: output, errors, exit codes.
assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
both = client.containers.run("busybox", ["sh", "-c", "echo o; echo e >&2"], remove=True, stderr=True)
assert sorted(both.split()) == [b"e", b"o"]
try:
    client.containers.run("busybox", "false", remove=True)
    raise AssertionError("no ContainerError")
except ContainerError as error:
    assert error.exit_status == 1
for call, kind in (
    (lambda: client.containers.run("nope:1", "true"), (ImageNotFound, APIError)),
    (lambda: client.containers.get("nope"), NotFound),
    (lambda: client.images.get("nope"), ImageNotFound),
    (lambda: client.volumes.get("nope"), NotFound),
):
    try:
        call()
        raise AssertionError("no error")
    except kind:
        pass

# A container that lives: attributes, exec, files, stats, logs, commit.
volume = client.volumes.create("py-data", labels={"of": "py"})
box = client.containers.run(
    "busybox",
    ["sh", "-c", "echo up; exec sleep 1000"],
    name="py-box",
    detach=True,
    environment={"A": "1"},
    labels={"who": "py"},
    volumes={"py-data": {"bind": "/data", "mode": "rw"}},
    ports={"80/tcp": None},
    mem_limit="64m",
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    healthcheck={"test": ["CMD", "true"], "interval": 1_000_000_000},
    init=True,
)
box.reload()
assert box.status == "running" and box.labels == {"who": "py"}
assert box.attrs["HostConfig"]["Memory"] == 64 << 20
assert box.ports["80/tcp"][0]["HostPort"]
assert [c.name for c in client.containers.list(filters={"label": "who=py"})] == ["py-box"]
code, output = box.exec_run(["sh", "-c", "echo $A$B; exit 3"], environment={"B": "2"})
assert (code, output) == (3, b"12\n")
code, (out, err) = box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
assert (code, out, err) == (0, b"o\n", b"e\n")
assert list(box.exec_run("echo streamed", stream=True).output) == [b"streamed\n"]

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as archive:
    entry = tarfile.TarInfo("note")
    entry.size = 4
    archive.addfile(entry, io.BytesIO(b"text"))
assert box.put_archive("/data", packed.getvalue())
pieces, stat = box.get_archive("/data/note")
assert stat["name"] == "note" and stat["size"] == 4
with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
    assert archive.extractfile("note").read() == b"text"

stats = box.stats(stream=False)
assert stats["memory_stats"]["limit"] == 64 << 20 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
assert box.top()["Processes"]
assert box.logs() == b"up\n" and box.logs(timestamps=True).endswith(b" up\n")
assert {"Path": "/data", "Kind": 1} in box.diff()
follower = box.logs(stream=True, follow=True)
assert next(follower) == b"up\n"
box.pause()
box.reload()
assert box.status == "paused"
box.unpause()
box.rename("py-renamed")
box.update(mem_limit="96m", memswap_limit="192m")
image = box.commit("py-image", "v1", author="me", changes='LABEL from="py"')
assert "py-image:v1" in image.tags and image.labels["from"] == "py"
try:
    client.containers.create("busybox", name="py-renamed")
    raise AssertionError("no conflict")
except APIError as error:
    assert error.status_code == 409
try:
    box.remove()
    raise AssertionError("a running container was removed")
except APIError as error:
    assert error.status_code == 409
box.restart(timeout=0)
box.kill()
assert box.wait()["StatusCode"] == 137
box.remove(v=True)

# Attach and interactive input.
cat = client.containers.create("busybox", "cat", stdin_open=True, name="py-cat")
socket = cat.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
cat.start()
socket._sock.sendall(b"typed\n")
answer = b""
while b"typed\n" not in answer:
    answer += socket._sock.recv(4096)
socket.close()
cat.remove(force=True)

# Images and volumes.
client.images.get("py-image:v1").tag("py-other", "x")
client.images.remove("py-other:x")
client.images.remove("py-image:v1")
assert volume.attrs["Labels"] == {"of": "py"}
volume.remove()
assert client.df()["Containers"] is not None
client.containers.prune()

events.close()
for action in ("create", "start", "die", "destroy", "pause", "unpause", "rename", "kill", "commit"):
    assert action in seen, (action, seen)
print("done")
