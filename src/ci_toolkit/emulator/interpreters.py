"""The control plane: code interpreters that are created, told, listed and deleted."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.paging import page, timestamp
from ci_toolkit.emulator.refusals import Refusal, invalid, not_found

__all__ = ["SYSTEM", "Interpreters"]

SYSTEM = "aws.codeinterpreter.v1"
_LETTERS = string.ascii_letters + string.digits
_TOLD = ("description", "executionRoleArn", "certificates", "filesystemConfigurations")


@dataclass
class _Interpreter:
    id: str
    arn: str
    name: str
    created: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, Any]:
        described = {k: v for k, v in self.settings.items() if k == "description"}
        return {
            "codeInterpreterId": self.id,
            "codeInterpreterArn": self.arn,
            "name": self.name,
            **described,
            "status": "READY",
            "createdAt": timestamp(self.created),
            "lastUpdatedAt": timestamp(self.created),
        }


class Interpreters:
    """The interpreters of the emulated account: the system's own, and custom ones.

    Their settings are kept and told; what they would do to a sandbox is the backend's to decide.
    """

    def __init__(self, options: EmulatorOptions) -> None:
        self._options = options
        now = options.clock()
        arn = f"arn:aws:bedrock-agentcore:{options.region}:aws:code-interpreter/{SYSTEM}"
        network = {"networkConfiguration": {"networkMode": "SANDBOX"}}
        self._known = {SYSTEM: _Interpreter(SYSTEM, arn, "Code Interpreter", now, network)}
        self._tokens: dict[str, str] = {}

    def require(self, identifier: str) -> None:
        """Refuses an identifier that no interpreter has."""
        if identifier not in self._known:
            raise not_found(f"There is no code interpreter {identifier}.")

    def create(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """`CreateCodeInterpreter`."""
        known = self._tokens.get(members.get("clientToken", ""))
        if known is None:
            self._check(members)
            known = self._add(members)
            self._tokens[members.get("clientToken", known)] = known
        interpreter = self._known[known]
        return {
            "codeInterpreterId": interpreter.id,
            "codeInterpreterArn": interpreter.arn,
            "createdAt": timestamp(interpreter.created),
            "status": "CREATING",
        }

    def get(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """`GetCodeInterpreter`."""
        self.require(members["codeInterpreterId"])
        interpreter = self._known[members["codeInterpreterId"]]
        settings = interpreter.settings
        network = settings["networkConfiguration"]
        told = {k: settings[k] for k in _TOLD if k in settings}
        return {**interpreter.summary, **told, "networkConfiguration": network}

    def list(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """`ListCodeInterpreters`."""
        kind = members.get("type")
        found = [
            interpreter.summary
            for interpreter in self._known.values()
            if kind in (None, "SYSTEM" if interpreter.id == SYSTEM else "CUSTOM")
        ]
        shown, more = page(found, members, key="codeInterpreterId")
        return {"codeInterpreterSummaries": shown, **more}

    def delete(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """`DeleteCodeInterpreter`; it is gone at once."""
        identifier = members["codeInterpreterId"]
        self.require(identifier)
        if identifier == SYSTEM:
            raise Refusal("AccessDeniedException", f"{SYSTEM} cannot be deleted.")
        del self._known[identifier]
        self._tokens = {t: i for t, i in self._tokens.items() if i != identifier}
        now = timestamp(self._options.clock())
        return {"codeInterpreterId": identifier, "status": "DELETING", "lastUpdatedAt": now}

    def _check(self, members: Mapping[str, Any]) -> None:
        name = members["name"]
        if any(i.name == name for i in self._known.values()):
            raise Refusal(
                "ConflictException",
                f"CodeInterpreter with name '{name}' already exists in this account",
            )
        network = members["networkConfiguration"]
        if (network["networkMode"] == "VPC") != ("vpcConfig" in network):
            message = "vpcConfig belongs to the network mode VPC, and to no other."
            raise invalid(message, fields=[("networkConfiguration.vpcConfig", message)])

    def _add(self, members: Mapping[str, Any]) -> str:
        name = members["name"]
        identifier = f"{name}-{''.join(secrets.choice(_LETTERS) for _ in range(10))}"
        place = f"arn:aws:bedrock-agentcore:{self._options.region}:{self._options.account}"
        arn = f"{place}:code-interpreter-custom/{identifier}"
        now = self._options.clock()
        self._known[identifier] = _Interpreter(identifier, arn, name, now, members)
        return identifier
