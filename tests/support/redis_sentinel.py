"""A master, its replicas, and Sentinels that watch them: all on loopback, with quick failovers."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.redis_node import RedisNode, free_ports, started, wait_until

NAME = "relink-test"
_READY_S = 30.0


@dataclass(frozen=True)
class SentinelServer:
    """`servers`: those that hold data; the first was the master at the start."""

    servers: list[RedisNode]
    sentinels: list[RedisNode]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels) + f"/{NAME}"

    @property
    def master(self) -> RedisNode:
        """By what the first Sentinel says."""
        with self.sentinels[0].client() as client:
            _, port = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", NAME)
        return next(node for node in self.servers if node.port == int(port))

    def everywhere(self, *command: str) -> list[Any]:
        """The answer of the master."""
        with self.master.client() as client:
            return [client.execute_command(*command)]


@contextlib.contextmanager
def redis_sentinel(replicas: int = 1, *options: str) -> Iterator[SentinelServer]:
    """Run one, with three Sentinels. A master that is silent for half a second is replaced within some seconds."""
    directory = Path(tempfile.mkdtemp(prefix="relink-sentinel-"))
    ports = free_ports(1 + replicas + 3)
    servers = [RedisNode(directory / str(port), *options, port=port) for port in ports[: 1 + replicas]]
    sentinels = [_sentinel(directory / str(port), port, servers[0].port) for port in ports[1 + replicas :]]
    found = SentinelServer(servers, sentinels)
    try:
        with started(servers):
            for replica in servers[1:]:
                with replica.client() as client:
                    client.execute_command("REPLICAOF", "127.0.0.1", str(servers[0].port))
            wait_until(lambda: all(map(_in_step, servers[1:])), _READY_S, "replicas in step")
            with started(sentinels):
                wait_until(lambda: all(_sees_all(one, replicas) for one in sentinels), _READY_S, "Sentinels")
                yield found
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sentinel(directory: Path, port: int, master: int) -> RedisNode:
    directory.mkdir(parents=True)
    config = directory / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {NAME} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {NAME} 500\n"
        f"sentinel failover-timeout {NAME} 3000\n"
    )
    return RedisNode(directory, port=port, config=config)


def _in_step(replica: RedisNode) -> bool:
    with replica.client() as client:
        return bool(client.info("replication")["master_link_status"] == "up")


def _sees_all(sentinel: RedisNode, replicas: int) -> bool:
    with sentinel.client() as client:
        state = client.execute_command("SENTINEL MASTERS")[NAME]
    return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == replicas)
