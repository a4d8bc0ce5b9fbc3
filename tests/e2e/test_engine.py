"""The Docker engine in a VM with our kernel, as the user jobs run as. One boot for all of it.

Environment: MVR_ENGINE_KERNEL, the name of an installed kernel to take in place of our own.
"""

import os
import shutil

import state
from harness import WEB, MvrunnerTest, main

MAKE_IMAGE = f"""
mkdir -p root/bin root/www && curl -sf {WEB}/busybox -o root/bin/busybox
chmod 755 root/bin/busybox && ln -s busybox root/bin/sh
echo served > root/www/index.html
tar -C root -c . | docker import --change 'ENV PATH=/bin' - tools
"""
STEPS = {
    # The very first thing a job does; dockerd may only just have been started.
    "the engine": """
[ "$(id -un)" = runner ]
docker info --format '{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.Warnings}}' | tee info
[ "$(cat info)" = "overlay2 cgroupfs 2 []" ]
grep -x 0::/system/dockerd /proc/$(pidof dockerd)/cgroup
grep -x 0::/system/job /proc/self/cgroup
grep -x -- -500 /proc/$(pidof containerd)/oom_score_adj
sudo grep -E 'Max (core file size|processes) +unlimited' /proc/$(pidof containerd)/limits
""",
    "a container": MAKE_IMAGE + """
[ "$(docker run --rm --network none tools busybox id -u)" = 0 ]
[ "$(docker run --rm --network none tools sh -c 'ulimit -n')" = 1048576 ]
""",
    "memory": """
[ "$(docker run --rm --memory 64m --memory-swap 80m tools busybox cat \
     /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max | tr '\n' ' ')" \
  = "67108864 16777216 " ]
code=0
docker run --rm --memory 32m --memory-swap 32m tools \
  busybox dd if=/dev/zero of=/dev/null bs=100M count=1 || code=$?
[ $code = 137 ]
""",
    "networks": f"""
docker run --rm tools busybox wget -qO- {WEB}/hello | grep hello
docker network create jobs
docker run -d --name web --network jobs -p 8080:80 tools busybox httpd -f -h /www
docker run --rm --network jobs tools busybox wget -qO- http://web | grep served
curl -sf http://127.0.0.1:8080 | grep served
curl -sf "http://$(hostname -I | cut -d' ' -f1):8080" | grep served
""",
    "a build": """
mkdir context && echo content > context/file
printf 'FROM tools\nCOPY file /file\nRUN busybox wc -c < /file > /count\nCMD busybox cat /count\n' \
  > context/Dockerfile
docker build -t built context
[ "$(docker run --rm --network none built)" = 8 ]
""",
    "modules": """
if [ -e /lib/modules/$(uname -r) ]; then
  sudo modprobe overlay
  ! sudo modprobe no_such_module
fi
""",
    # Who comes meanwhile waits; the agent starts it again.
    "another dockerd": """
[ ! -e /run/mvrunner/notices ]
before=$(pidof dockerd)
sudo pkill -x dockerd
while [ -e /proc/$before ]; do sleep 0.1; done
docker ps --all --format '{{.Names}}' | grep -x web
[ "$(pidof dockerd)" != "$before" ]
grep 'the Docker engine: dockerd ended with 0' /run/mvrunner/notices
sudo grep -c 'API listen on /run/docker.sock' /var/log/dockerd.log | grep -x 2
""",
}


class Engine(MvrunnerTest):
    def setUp(self):
        super().setUp()
        state.add_engine(self.state)
        kernel = os.environ.get("MVR_ENGINE_KERNEL") or state.add_own_kernel(self.state)
        shutil.copy(state.unpacked("busybox-static", "bin/busybox"), self.root / "web/busybox")
        (self.root / "web/hello").write_text("hello\n")
        self.profiles = [{"name": "docker", "labels": ["mv-docker"], "image": "debian-12-docker",
                          "kernel": kernel, "memory": "1GiB", "vcpus": 2, "disk": "4GiB"}]
        self.write_config()

    def test_jobs_use_docker_as_they_do_elsewhere(self):
        self.start_daemon()
        steps = [f"set -eux -o pipefail\n{text}" for text in STEPS.values()]
        job = self.github.add_job(*steps, labels=["mv-docker"])
        done = self.github.wait_job(job, "completed", limit=1200)
        self.assertEqual(done["conclusion"], "success", done["log"])
        self.check_nothing_left()


if __name__ == "__main__":
    main()
