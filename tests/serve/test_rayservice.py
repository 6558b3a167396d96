"""infra/serve.yaml, as far as it can be read without a Kubernetes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from methods import DEFAULT_BACKBONE
from orchestrator import ray_privacy
from serve.errors import Invalid
from serve.replicas import haproxy
from serve.replicas.app import build
from serve.replicas.environment import from_environment

FILE = Path(__file__).parents[2] / "infra" / "serve.yaml"
READ = """
import sys, yaml
from ray._common.utils import import_attr
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as built
from ray.serve.schema import ServeDeploySchema
(app,) = ServeDeploySchema(**yaml.safe_load(yaml.safe_load(open(sys.argv[1]))["spec"]["serveConfigV2"])).applications
(deployment,) = app.deployments
bound = built(import_attr(app.import_path), app.args)._bound_deployment
assert bound.name == deployment.name
print(app.name, app.route_prefix, deployment.name, deployment.autoscaling_config["max_replicas"])
"""


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    said = yaml.safe_load(FILE.read_text())
    assert (said["apiVersion"], said["kind"]) == ("ray.io/v1", "RayService")
    return said["spec"]


@pytest.fixture(scope="module")
def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_ray_serve_reads_the_configuration_and_builds_the_application() -> None:
    done = subprocess.run([sys.executable, "-c", READ, str(FILE)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["promptctl", "/", "promptctl", "8"], done.stderr


def test_every_container_has_the_switches_that_keep_texts_off_the_disk(containers: list[dict[str, Any]]) -> None:
    assert [container["name"] for container in containers] == ["ray-head", "ray-worker"]
    kept = {switch.name: switch.value for switch in ray_privacy.SWITCHES if switch.name != "RAY_AUTH_MODE"}
    for container in containers:
        given = {one["name"]: one["value"] for one in container["env"]}
        assert (kept | haproxy.SWITCHES).items() <= given.items()
        assert given["RAY_SERVE_HAPROXY_BINARY_PATH"].endswith(f"/{haproxy.PROGRAM}")
        assert {"readinessProbe", "livenessProbe"} <= container.keys()


def test_what_is_secret_comes_from_a_secret(spec: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    assert spec["rayClusterConfig"]["authOptions"] == {"mode": "token"}  # in the place of RAY_AUTH_MODE
    for container in containers:
        assert container["envFrom"] == [{"secretRef": {"name": "promptctl"}}]
        assert not {"PROMPTCTL_DATABASE_URL", "PROMPTCTL_STORE_URL"} & {one["name"] for one in container["env"]}
    with pytest.raises(ValueError, match="takes no arguments"):
        build({"database_url": "postgresql://"})


def test_a_replica_reads_its_environment_and_asks_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTCTL_HOME")
    monkeypatch.setenv("PROMPTCTL_DATABASE_URL", "postgresql+psycopg://ada:secret@db/prompts")
    with pytest.raises(Invalid, match="PROMPTCTL_STORE_URL is not set"):
        from_environment()
    monkeypatch.setenv("PROMPTCTL_STORE_URL", "s3://prompts")
    monkeypatch.setenv("PROMPTCTL_NEW_LABELS", "false")
    config = from_environment()
    assert (config.host, config.backbone, config.known) == ("0.0.0.0", DEFAULT_BACKBONE, None)
    assert not config.new_labels
    assert "secret" not in repr(config)
    monkeypatch.setenv("PROMPTCTL_HOME", "/home/promptctl")
    assert from_environment().known == Path("/home/promptctl/known")
