"""An upstream registry on the stand-in Internet, and an image in it."""

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

from harness import INTERNET, Namespaces, wait_for

UPSTREAM = f"http://{INTERNET}:5000"
MIRROR = "10.231.255.253:5000"
DEBUG = "10.231.255.253:5001"
LAYER = 3_000_000


def image(directory):
    """An OCI layout with one image of one layer; returns the digests of manifest and layer."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = LAYER
        archive.addfile(member, io.BytesIO(os.urandom(LAYER)))
    kind = "application/vnd.oci.image"
    layer = add(packed.getvalue())
    config = add(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [layer["digest"]]}}).encode())
    manifest = add(json.dumps({
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **config},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", **layer}]}).encode())
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": f"{kind}.manifest.v1+json", **manifest,
         "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}))
    return manifest["digest"], layer["digest"]


class Upstream:
    """docker-registry with the image library/hello, as a test sees it from outside."""

    def __init__(self, case):
        self.case = case
        settings = {"version": "0.1", "log": {"level": "info"},
                    "storage": {"filesystem": {"rootdirectory": str(case.root / "upstream")}},
                    "http": {"addr": f"{INTERNET}:5000"}}
        self.config = case.root / "upstream.yml"
        self.config.write_text(json.dumps(settings))
        self.start()
        self.manifest, self.layer = image(case.root / "image")
        self._push()

    def start(self):
        self.process = self.case.start_in_internet(
            ["docker-registry", "serve", self.config], "upstream.log")
        probe = [*Namespaces.inside(self.case.namespaces.internet), "curl", "-s", "-o", "/dev/null",
                 f"{UPSTREAM}/v2/"]
        wait_for(lambda: subprocess.run(probe).returncode == 0, "the upstream registry answers", 60)

    def _push(self):
        subprocess.run(
            [*Namespaces.inside(self.case.namespaces.internet), "skopeo", "copy", "-q", "--preserve-digests",
             "--dest-tls-verify=false", f"oci:{self.case.root}/image:latest",
             f"docker://{INTERNET}:5000/library/hello:latest"], check=True)

    def fetched(self):
        """What was fetched of the image, by GET, in the order of the log."""
        pattern = r'"GET (/v2/library/hello/(?:manifests|blobs)/\S+) HTTP/1.1" 200'
        return re.findall(pattern, self.process.text())
