"""Transforms of whole templates: `AWS::Serverless-2016-10-31` and `AWS::LanguageExtensions`."""

import copy
import logging
import re
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import boto3
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template

from lamella.neighbour.stacks.errors import TransformError
from lamella.neighbour.stacks.intrinsics import Scope, resolve
from lamella.neighbour.stacks.parameters import Parameter
from lamella.neighbour.stacks.template import Json, Template, transforms_of

SERVERLESS: Final = "AWS::Serverless-2016-10-31"
LANGUAGE: Final = "AWS::LanguageExtensions"
_LOOP: Final = "Fn::ForEach::"
_VARIABLE: Final = re.compile(r"[$&]\{(\w+)\}")
_WRITTEN_MOST: Final = 1024**2
"""Characters and members that loops may write out: what a template may have in S3. Loops within loops multiply."""
_one_at_a_time: Final = Lock()  # the translator keeps the region in a class

logging.getLogger("samtranslator").setLevel(logging.CRITICAL)  # what it finds wrong is in what it raises


def transform(
    template: Template, parameters: Mapping[str, Parameter], *, account: str, region: str, scope: Scope
) -> Template:
    """The template that is carried out; the same if it asks for no transform.

    Args:
        template: As it was sent.
        parameters: Settled.
        account: Whose stack it is.
        region: Of the stack.
        scope: For collections of loops.

    Raises:
        TransformError: A transform is not known, or fails.
    """
    for name in transforms_of(template):
        try:
            if name == LANGUAGE:
                template = _unrolled(template, scope)
            elif name == SERVERLESS:
                template = _serverless(template, parameters, account, region)
            else:
                # Source: what AWS answers for a macro that is not there.
                raise TransformError(f"No transform named {name} found.")
        except InvalidDocumentException as error:
            raise TransformError(f"Transform {name} failed with: {error.message}. {_causes(error)}".rstrip()) from error
    return {key: value for key, value in template.items() if key != "Transform"}


def _causes(error: InvalidDocumentException) -> str:
    return ", ".join(sorted(cause.message for cause in error.causes))


def _serverless(template: Template, parameters: Mapping[str, Parameter], account: str, region: str) -> Template:
    """Source: aws-sam-translator, `samtranslator.translator.transform`, which takes the region from the environment."""
    values: dict[str, Json] = {name: parameter.value for name, parameter in parameters.items()}
    values |= {"AWS::Region": region, "AWS::AccountId": account, "AWS::Partition": "aws"}
    fragment = copy.deepcopy(template)
    session = boto3.Session(region_name=region)
    with _one_at_a_time:
        to_py27_compatible_template(fragment, values)
        translator = Translator(None, Parser(), boto_session=session)
        translated = translator.translate(fragment, parameter_values=values, get_managed_policy_map=dict[str, str])
        found: Template = undo_mark_unicode_str_in_template(translated)
    return found


def _unrolled(template: Template, scope: Scope) -> Template:
    """Loops written out, and policies that parameters say. The other extensions need no transform here.

    Source: CloudFormation user guide, "Fn::ForEach".
    """
    found = {key: value for key, value in template.items() if key not in ("Resources", "Conditions", "Outputs")}
    loops = _Loops(scope)
    for section in ("Conditions", "Resources", "Outputs"):
        if section in template:
            found[section] = loops.written_out(template[section])
    resources = found.get("Resources")
    for definition in resources.values() if isinstance(resources, Mapping) else ():
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if isinstance(definition, dict) and policy in definition:
                definition[policy] = resolve(definition[policy], scope)
    return found


class _Loops:
    """Writes the loops of one template out."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._left = _WRITTEN_MOST

    def written_out(self, value: Json) -> Json:
        """The same without loops.

        Raises:
            TransformError: One is malformed, or they would make more than a template can be.
        """
        if isinstance(value, list):
            return [self.written_out(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        found: dict[str, Json] = {}
        for key, item in value.items():
            if not str(key).startswith(_LOOP):
                found[key] = self.written_out(item)
                continue
            match item:
                case [str(variable), collection, dict() as body]:
                    found |= self._repeated(variable, resolve(collection, self._scope), body)
                case _:
                    raise _layout()
        return found

    def _repeated(self, variable: str, values: Json, body: Mapping[str, Json]) -> dict[str, Json]:
        if not isinstance(values, list):
            raise _layout()
        found: dict[str, Json] = {}
        size = _size(body)
        for one in values:
            self._left -= size
            if self._left < 0:
                raise TransformError(
                    f"Transform {LANGUAGE} failed with: the loops would write out more than {_WRITTEN_MOST} characters"
                )
            filled = {_filled(name, variable, one): _within(part, variable, one) for name, part in body.items()}
            found |= self.written_out(filled)
        return found


def _layout() -> TransformError:
    return TransformError(f"Transform {LANGUAGE} failed with: Fn::ForEach layout is incorrect")


def _size(part: Json) -> int:
    if isinstance(part, str):
        return len(part) + 1
    if isinstance(part, Mapping):
        return sum(_size(key) + _size(item) for key, item in part.items()) + 1
    return sum(map(_size, part)) + 1 if isinstance(part, list) else 1


def _filled(name: str, variable: str, value: Any) -> str:  # Any: template
    def replace(place: re.Match[str]) -> str:
        if place[1] != variable:
            return place[0]
        text = str(value)
        return "".join(letter for letter in text if letter.isalnum()) if place[0].startswith("&") else text

    return _VARIABLE.sub(replace, name)


def _within(part: Json, variable: str, value: Json) -> Json:
    if isinstance(part, str):
        return _filled(part, variable, value)
    if isinstance(part, list):
        return [_within(item, variable, value) for item in part]
    if isinstance(part, Mapping):
        if part == {"Ref": variable}:
            return value
        return {_filled(str(key), variable, value): _within(item, variable, value) for key, item in part.items()}
    return part
