"""A real registry for what is pushed and pulled: Debian's docker-registry on the loopback."""

import atexit
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import builders

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """One registry; `empty` starts it, and starts it anew with nothing in it."""

    def __init__(self, place):
        self.folder = os.path.join(place, "registry")
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        atexit.register(self.stop)

    @staticmethod
    def there():
        return shutil.which("docker-registry") is not None and shutil.which("skopeo") is not None

    def empty(self):
        self.stop()
        builders.remove(self.folder)
        os.makedirs(self.folder)
        config = os.path.join(self.folder, "config.yml")
        with open(config, "w") as file:
            json.dump({"version": "0.1", "log": {"accesslog": {"disabled": True}, "level": "error"},
                       "storage": {"filesystem": {"rootdirectory": self.folder}},
                       "http": {"addr": self.host}}, file)
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("docker-registry did not come up")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def skopeo(self, layout, name):
        """How skopeo pushes a layout."""
        with open(os.path.join(layout, "index.json"), "rb") as file:
            notes = json.load(file)["manifests"][-1].get("annotations", {})
        tag = notes.get("org.opencontainers.image.ref.name")
        return ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                f"oci:{layout}" + (f":{tag}" if tag else ""), f"docker://{self.host}/{name}"]

    def curl(self, layout, name):
        """The bare transfer: each blob that is not there in one request, then the manifest."""
        with open(os.path.join(layout, "index.json"), "rb") as file:
            manifest = json.load(file)["manifests"][-1]["digest"]
        at = f"http://{self.host}/v2/{name.split(':')[0]}"
        found, _ = builders.layers(layout)
        with open(blob(layout, manifest), "rb") as file:
            config = json.load(file)["config"]["digest"]
        quiet = "curl -sSf -o /dev/null"
        lines = []
        for digest in [config] + [layer["digest"] for layer in found]:
            lines.append(
                f"{quiet} -I {at}/blobs/{digest} 2>/dev/null || {{ "
                f"to=$(curl -sSf -X POST -o /dev/null -w '%header{{location}}' {at}/blobs/uploads/); "
                f"{quiet} -X PUT -H 'Content-Type: application/octet-stream' "
                f"-T {blob(layout, digest)} \"$to&digest={digest}\"; }}")
        lines.append(f"{quiet} -X PUT -H 'Content-Type: {MANIFEST}' -T {blob(layout, manifest)} "
                     f"{at}/manifests/{name.split(':')[1]}")
        return "; ".join(lines)

    def check(self, layout, name):
        """What is there is what was pushed: the manifest, and each of its layers."""
        repository, tag = name.split(":")
        at = f"http://{self.host}/v2/{repository}"
        asked = urllib.request.Request(f"{at}/manifests/{tag}", headers={"Accept": MANIFEST})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            found = json.load(answer)["layers"]
        if found != builders.layers(layout)[0]:
            raise AssertionError("the registry has other layers than were pushed")
        for layer in found:
            asked = urllib.request.Request(f"{at}/blobs/{layer['digest']}", method="HEAD")
            with urllib.request.urlopen(asked, timeout=10) as answer:
                if int(answer.headers["Content-Length"]) != layer["size"]:
                    raise AssertionError("the registry has less of a layer than was pushed")


def blob(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":"))
