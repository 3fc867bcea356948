"""A Redis Cluster on loopback: masters that share the slots, and if wished a replica of each."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.crc import key_slot

from tests.support.redis_node import RedisNode, free_ports, started, wait_until

_SLOTS = 16_384
_READY_S = 30.0


@dataclass(frozen=True)
class ClusterServer:
    """The nodes: first the masters, then their replicas in the same order."""

    masters: list[RedisNode]
    replicas: list[RedisNode]

    @property
    def nodes(self) -> list[RedisNode]:
        return [*self.masters, *self.replicas]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    def everywhere(self, *command: str) -> list[Any]:
        """The answers of all masters."""
        return [_ask(node, *command) for node in self.masters]

    def master_of(self, key: str) -> RedisNode:
        """The node that was given the key's slot at the start."""
        return self.masters[key_slot(key.encode()) * len(self.masters) // _SLOTS]

    def move_slot(self, key: str, source: RedisNode, target: RedisNode) -> None:
        """Move the key's slot with all that is in it, as `redis-cli --cluster reshard` does, but with pauses."""
        slot = str(key_slot(key.encode()))
        here, there = _ask(source, "CLUSTER MYID"), _ask(target, "CLUSTER MYID")
        _ask(target, "CLUSTER SETSLOT", slot, "IMPORTING", here)
        _ask(source, "CLUSTER SETSLOT", slot, "MIGRATING", there)
        while keys := _ask(source, "CLUSTER GETKEYSINSLOT", slot, "2"):
            _ask(source, "MIGRATE", "127.0.0.1", str(target.port), "", "0", "5000", "KEYS", *keys)
            time.sleep(0.1)  # for writes that meet half of their keys
        for node in (target, source, *self.masters):
            _ask(node, "CLUSTER SETSLOT", slot, "NODE", there)

    def knows(self, node: RedisNode) -> bool:
        """Whether `node` finds the Cluster whole, and each of its nodes where it belongs."""
        info = _ask(node, "CLUSTER INFO")
        known = _ask(node, "CLUSTER NODES")
        return info["cluster_state"] == "ok" and len(known) == len([one for one in self.nodes if one.runs])


def _ask(node: RedisNode, *command: str) -> Any:
    with node.client() as client:
        return client.execute_command(*command)


@contextlib.contextmanager
def redis_cluster(masters: int = 3, *, replicas: bool = False) -> Iterator[ClusterServer]:
    """Run one. `replicas`: each master has one, which takes its place within some seconds when it dies."""
    directory = Path(tempfile.mkdtemp(prefix="relink-cluster-"))
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")
    ports = free_ports(masters * 2 if replicas else masters)
    nodes = [RedisNode(directory / str(port), *options, port=port) for port in ports]
    cluster = ClusterServer(nodes[:masters], nodes[masters:])
    try:
        with started(nodes):
            _join(cluster)
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _join(cluster: ClusterServer) -> None:
    count = len(cluster.masters)
    ids = [_ask(node, "CLUSTER MYID") for node in cluster.nodes]
    for index, node in enumerate(cluster.nodes):
        _ask(node, "CLUSTER SET-CONFIG-EPOCH", str(index + 1))
        if index < count:
            first, last = -(-_SLOTS * index // count), -(-_SLOTS * (index + 1) // count) - 1
            _ask(node, "CLUSTER ADDSLOTSRANGE", str(first), str(last))
        if index:
            _ask(node, "CLUSTER MEET", "127.0.0.1", str(cluster.nodes[0].port))
    wait_until(lambda: all(cluster.knows(node) for node in cluster.masters), _READY_S, "Cluster")
    for replica, master in zip(cluster.replicas, ids[:count], strict=False):
        wait_until(lambda replica=replica, master=master: _follows(replica, master), _READY_S, "replica")  # type: ignore[misc]
    for replica in cluster.replicas:
        wait_until(lambda replica=replica: _in_step(replica), _READY_S, "replica in step")  # type: ignore[misc]
    wait_until(lambda: all(cluster.knows(node) for node in cluster.nodes), _READY_S, "Cluster with replicas")


def _follows(replica: RedisNode, master: str) -> bool:
    try:
        return bool(_ask(replica, "CLUSTER REPLICATE", master))
    except Exception as error:
        if "Unknown node" in str(error):  # it has not heard of its master yet
            return False
        raise


def _in_step(replica: RedisNode) -> bool:
    return bool(_ask(replica, "INFO", "replication")["master_link_status"] == "up")
