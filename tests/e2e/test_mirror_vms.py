"""Two real VMs pull one image through the host's registry mirror."""

import json

from harness import MvrunnerTest, main, wait_for
from registry import DEBUG, MIRROR, UPSTREAM, Upstream

BUILDX = "/.docker/buildx/buildkitd.default.toml"


class TwoVms(MvrunnerTest):
    def test_the_second_vm_pulls_what_the_first_one_brought(self):
        upstream = Upstream(self)
        self.write_config(registry_mirror={"enabled": True, "upstream": UPSTREAM})
        self.start_daemon()
        wait_for(lambda: "event=mirror_ready" in self.daemon.text(), "the mirror is up", limit=60)
        name = f"http://{MIRROR}/v2/library/hello"
        accept = "Accept: application/vnd.oci.image.manifest.v1+json"
        pull = (f"set -e; curl -sf -H '{accept}' {name}/manifests/latest | sha256sum; "
                f"curl -sf {name}/blobs/{upstream.layer} | sha256sum; ")
        digests = [digest.removeprefix("sha256:") + "  -"
                   for digest in (upstream.manifest, upstream.layer)]
        look = (f"cat /etc/docker/daemon.json; echo; cat ~{BUILDX}; stat -c %U ~{BUILDX}; "
                f"curl -s --max-time 3 http://{DEBUG}/debug/vars || echo closed")

        first = self.cli("run", "--", "bash", "-c", pull + look)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stdout.splitlines()[:2], digests)
        settings, _, rest = "\n".join(first.stdout.splitlines()[2:]).partition("\n\n")
        url = f"http://{MIRROR}"
        self.assertEqual(json.loads(settings),
                         {"registry-mirrors": [url], "insecure-registries": [url]})
        self.assertEqual(rest.splitlines(),
                         ['[registry."docker.io"]', f'  mirrors = ["{MIRROR}"]',
                          f'[registry."{MIRROR}"]', "  http = true", "runner", "closed"])
        fetched = upstream.fetched()
        self.assertEqual(len([path for path in fetched if "/manifests/" in path]), 1, fetched)

        second = self.cli("run", "--", "bash", "-c", pull)
        self.assertEqual(second.stdout.splitlines(), digests, second.stderr)
        self.assertEqual(upstream.fetched(), fetched)
        self.check_nothing_left()


if __name__ == "__main__":
    main()
