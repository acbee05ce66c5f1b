#!/usr/bin/env python3
"""`sam local` where there is no Docker: SAM CLI itself, of which only the container is replaced.

The template, its routes, the events made of requests, the environment and the checks of
answers are SAM CLI's own. The `bootstrap` that `sam build` has made runs as a process under
the runtime emulator that SAM CLI brings along. Takes the arguments of `sam`:

    python tests/sam/without_docker.py local start-api --env-vars env.local.json
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Lock, Thread

import requests
import samcli
from samcli.commands.local.cli_common import invoke_context
from samcli.local.docker import container_client_factory
from samcli.local.lambdafn import runtime

MACHINE = "arm64" if os.uname().machine == "aarch64" else "x86_64"
EMULATOR = Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{MACHINE}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """The function under the emulator, for as long as this program runs."""

    def __init__(self, function, log):
        folder = Path(function.code_abs_path)
        # What pip has installed need not be executable.
        emulator = shutil.copy(EMULATOR, tempfile.mkdtemp())
        os.chmod(emulator, 0o755)
        self.port = free_port()
        variables = function.env_vars.resolve()
        # What a container calls so is this machine.
        variables = {name: text.replace("host.docker.internal", "127.0.0.1") for name, text in variables.items()}
        environment = {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(folder)} | variables
        self.process = subprocess.Popen(
            [emulator, "--log-level", "error", "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}",
             "--runtime-api-address", f"127.0.0.1:{free_port()}", str(folder / "bootstrap"), function.handler],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )
        atexit.register(self.stop)
        Thread(target=self.forward, args=(log,), daemon=True).start()
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError("the runtime emulator does not listen")

    def forward(self, log):
        for line in self.process.stdout:
            log.write_str(line)
            log.flush()

    def answer(self, event):
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        return requests.post(url, event.encode(), headers={"Content-Type": "application/json"}, timeout=60).text

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Nothing:
    """Stands for Docker where SAM CLI only wants to know that it is there."""

    is_docker_reachable = True

    def __getattr__(self, _):
        return lambda *_, **__: None


processes = {}
one_at_a_time = Lock()


def invoke(_, function_config, event, *__, stdout=None, stderr=None, **___):
    with one_at_a_time:
        name = function_config.full_path
        if name not in processes:
            processes[name] = Process(function_config, stderr)
        stdout.write_str(processes[name].answer(event))
        stdout.flush()


container_client_factory.ContainerClientFactory.create_client = staticmethod(lambda *_, **__: Nothing())
runtime.LambdaRuntime.invoke = invoke
runtime.LambdaRuntime.clean_runtime_containers = lambda _: None
runtime.WarmLambdaRuntime.clean_running_containers_and_related_resources = lambda _: None
invoke_context.InvokeContext._get_container_manager = staticmethod(lambda *_, **__: Nothing())

if __name__ == "__main__":
    os.environ.setdefault("SAM_CLI_TELEMETRY", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from samcli.cli.main import cli

    sys.argv[0] = "sam"
    cli()
