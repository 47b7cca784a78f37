"""Fleets of small functions with layers, versions and aliases, and callers that never stop."""

import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

from tests.support.functions import ROLE, archive, wait_active
from tests.support.layers import publish

# Without any program but bash itself, so that cold starts cost little: there are hundreds of them.
BOOTSTRAP: Final = r"""#!/bin/bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
request() { printf '%s /2018-06-01/runtime/invocation/%s HTTP/1.1\r\nHost: api\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "${#3}" "$3" >&3; }
answer() {
    local line length=0
    while IFS= read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
        case ${line,,} in
            lambda-runtime-aws-request-id:*) id=${line#*: } ;;
            content-length:*) length=${line#*: } ;;
        esac
    done
    [ "$length" -eq 0 ] || IFS= read -r -N "$length" _ <&3
}
shared=none other=none last=none
[ -r /opt/shared ] && read -r shared </opt/shared
[ -r /opt/other ] && read -r other </opt/other
[ -r /opt/last ] && read -r last </opt/last
while request GET next ''; answer; do
    if [ "$shared" = "$BREAKS_WITH" ]; then
        request POST "$id/error" '{"errorMessage": "no module of that name", "errorType": "ImportError"}'
    else
        request POST "$id/response" "{\"shared\": \"$shared\", \"other\": \"$other\", \"last\": \"$last\"}"
    fi
    answer
done
"""
"""Answers with what its layers have written; fails with the layer version that `$BREAKS_WITH` names."""


def versions(client: Any, name: str, first: int, last: int) -> list[str]:
    """Versions of a layer whose file `shared` says which it is, and `last` too, so that the order of layers shows."""
    made = [
        publish(client, {"shared": f"{number}\n", "last": f"shared {number}\n"}, name=name)
        for number in range(first, last + 1)
    ]
    assert made[-1].endswith(f":{last}")
    return made


class Fleet:
    """Functions that share a layer.

    Every function has `other` before it, every second one `tail` after it, which hides its file `last`. Every fifth has
    an alias that shares its invocations between two versions, of which one has an older version of the layer.

    Attributes:
        names: Of the functions, in order.
        shared: ARNs of the versions of the layer, from 1 to 9.
    """

    def __init__(self, client: Any, prefix: str, count: int) -> None:
        self.client = client
        self.prefix = prefix
        self.names = [f"{prefix}-{number:02}" for number in range(count)]
        self.shared = versions(client, f"{prefix}-shared", 1, 9)
        self.layer = f"{prefix}-shared"
        self.other = publish(client, {"other": "other\n", "last": "other\n"}, name=f"{prefix}-other")
        self.tail = publish(client, {"last": "tail\n"}, name=f"{prefix}-tail")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create, range(count)))

    def layers(self, number: int, version: int) -> list[str]:
        """What a function has, with this version of the shared layer."""
        return [self.other, self.shared[version - 1], *([self.tail] if number % 2 else [])]

    def fragile(self, number: int) -> bool:
        """Whether version 9 breaks it: one in ten."""
        return number % 10 == 4

    def _create(self, number: int) -> None:
        client, name = self.client, self.names[number]
        client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="none",
            Role=ROLE,
            Code={"ZipFile": archive({"bootstrap": BOOTSTRAP})},
            Timeout=10,
            Environment={"Variables": {"BREAKS_WITH": "9" if self.fragile(number) else "nothing"}},
            Layers=self.layers(number, 6 if number % 5 == 0 else 7),
        )
        wait_active(client, name)
        first = client.publish_version(FunctionName=name)["Version"]
        routing: dict[str, Any] = {}
        if number % 5 == 0:
            client.update_function_configuration(FunctionName=name, Layers=self.layers(number, 7))
            wait_active(client, name)
            second = client.publish_version(FunctionName=name)["Version"]
            routing = {"RoutingConfig": {"AdditionalVersionWeights": {second: 0.3}}}
        client.create_alias(FunctionName=name, Name="live", FunctionVersion=first, **routing)

    def state(self) -> dict[str, Any]:
        """What a roll-back has to bring back: layers of `$LATEST`, and where the alias goes."""
        found = {}
        for name in self.names:
            latest = self.client.get_function_configuration(FunctionName=name)
            alias = self.client.get_alias(FunctionName=name, Name="live")
            weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            found[name] = ([one["Arn"] for one in latest["Layers"]], alias["FunctionVersion"], weights)
        return found

    def delete(self) -> None:
        """Delete the functions; their environments go with them."""
        for name in self.names:
            self.client.delete_function(FunctionName=name)


_PAUSE_S: Final = 0.05
"""Between two calls of a caller: the roll-out is to be disturbed by invocations, not starved by them."""


class Callers:
    """Invoke the aliases of functions, one after the other, until the block is left.

    Attributes:
        count: Invocations that were answered.
        failed: What was not as it should be.
        seen: Versions of the shared layer that answered, by name of function, in order.
    """

    def __init__(self, fleet: Fleet, *, threads: int = 2) -> None:
        self._fleet = fleet
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number, threads)) for number in range(threads)]
        self._turns: list[str] = []
        self.count = 0
        self.failed: list[str] = []
        self.seen: dict[str, list[str]] = {name: [] for name in fleet.names}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def finish_a_round(self) -> None:
        """Wait until every function has been invoked once more."""
        rounds = [Counter(self._turns)[name] for name in self._fleet.names]
        while any(
            Counter(self._turns)[name] < count + 2 for name, count in zip(self._fleet.names, rounds, strict=True)
        ):
            self._stopping.wait(0.05)

    def _call(self, first: int, step: int) -> None:
        mine = list(enumerate(self._fleet.names))[first::step]
        for number, name in itertools.cycle(mine):
            if self._stopping.wait(_PAUSE_S):
                return
            try:
                found = self._fleet.client.invoke(FunctionName=name, Qualifier="live")
                answer = json.loads(found["Payload"].read())
            except Exception as error:  # noqa: BLE001  (whatever it is, an invocation has failed)
                self.failed.append(f"{name}: {error!r}")
                continue
            self.count += 1
            self._turns.append(name)
            shared = answer.get("shared", "")
            last = "tail" if number % 2 else f"shared {shared}"
            if found.get("FunctionError") or (answer["other"], answer["last"]) != ("other", last):
                self.failed.append(f"{name}: {answer}")
            elif shared not in self.seen[name][-1:]:
                self.seen[name].append(shared)
