"""What a query may ask for, checked on the parsed text before validation, whose rules are partly quadratic.

Fragments are expanded under a cap of their own, so that a bomb of nested spreads costs no more than the cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
)
from graphql.type import GraphQLList, GraphQLNonNull

from accounts.graphql.connections import PAGE_DEFAULT, PAGE_LIMIT
from accounts.graphql.errors import RequestError

BODY_LIMIT = 20_000
TOKEN_LIMIT = 1_000
DEPTH_LIMIT = 8
ALIAS_LIMIT = 15
DIRECTIVE_LIMIT = 5
NODE_LIMIT = 200
COST_LIMIT = 2_000
WORK_LIMIT = 600
VALUE_DEPTH_LIMIT = 8
LARGEST_PAGE = 10**9  # beyond it a page size only makes the cost larger still

MUTATION_COST = 50
OBJECT_COST = 1
LEAF_COST = 0
# Leaves that carry a document, and fields that compute something, weigh more than a column.
WEIGHTS: Mapping[str, int] = {
    "DealVersion.spec": 10,
    "Tape.quality": 5,
    "RatingReport.manifest": 5,
    "RatingReport.lossHistogram": 10,
    "RatingReport.collateral": 20,
    "CreditModel.payload": 20,
    "MarketSnapshot.payload": 10,
    "PriceReport.assumptions": 5,
    "Listing.manifest": 5,
    "Listing.sourcesAndUses": 5,
    "__Schema.types": 5,
}
# Lists that are not pages: how many rows to count with. A list that is not named here counts LIST_SIZE.
LIST_SIZE = 5
SIZES: Mapping[str, int] = {
    "Pool.stratifications": 8,
    "Stratification.strata": 10,
    "AuctionResult.demand": 50,
    "AuctionResult.allotments": 50,
    "__Schema.types": 120,
    "__Type.fields": 15,
    "__Type.possibleTypes": 20,
    "__Field.args": 6,
}
# The wrappers of a page are not rows.
FREE = frozenset({"edges", "pageInfo"})


class LimitExceeded(RequestError):
    """The query asks for more than one request may."""

    def __init__(self, what: str, limit: int, code: str) -> None:
        super().__init__(f"The query exceeds the limit of {limit:,} {what}. Ask for less.", code=code)


@dataclass
class Measure:
    """What one request asks for, over all its operations; raises LimitExceeded as soon as a limit is passed."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    nodes: int = 0
    work: int = 0
    cost: int = 0

    def add(self, name: str, amount: int, limit: int, what: str) -> None:
        """Count `amount` of `name` against its limit."""
        total = getattr(self, name) + amount
        setattr(self, name, total)
        if total > limit:
            raise LimitExceeded(what, limit, f"{name.upper()}_LIMIT")

    def reach(self, depth: int) -> None:
        """Note a depth."""
        self.depth = max(self.depth, depth)
        if depth > DEPTH_LIMIT:
            raise LimitExceeded("levels of nesting", DEPTH_LIMIT, "DEPTH_LIMIT")


@dataclass(frozen=True)
class _Step:
    """One selection set still to be walked: the type it is on, its depth, how often it will be answered."""

    selections: SelectionSetNode
    parent: GraphQLNamedType | None
    depth: int
    times: int
    trail: frozenset[str]


def measure(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> Measure:
    """The depth, cost and counts of `document`; LimitExceeded when one is too much.

    Every operation of the document counts, whichever will run: validation reads them all.
    """
    result = Measure()
    _count_syntax(document, result)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            root = schema.get_root_type(definition.operation)
            values = _defaults(definition) | dict(variables)
            _walk(schema, fragments, _Step(definition.selection_set, root, 1, 1, frozenset()), values, result)
    return result


def _count_syntax(document: DocumentNode, result: Measure) -> None:
    """Directives and the nesting of argument values as written, without recursion; text no database can hold."""
    stack: list[tuple[Node, int]] = [(document, 0)]
    while stack:
        node, nesting = stack.pop()
        if isinstance(node, DirectiveNode):
            result.add("directives", 1, DIRECTIVE_LIMIT, "directives")
        elif isinstance(node, ListValueNode | ObjectValueNode):
            nesting += 1
            if nesting > VALUE_DEPTH_LIMIT:
                raise LimitExceeded("levels of nesting in a value", VALUE_DEPTH_LIMIT, "DEPTH_LIMIT")
        elif isinstance(node, StringValueNode) and not storable(node.value):
            raise RequestError("A text holds a character that cannot be stored.", code="BAD_USER_INPUT")
        for key in node.keys:
            child = getattr(node, key, None)
            for item in child if isinstance(child, list | tuple) else (child,):
                if isinstance(item, Node):
                    stack.append((item, nesting))


def storable(text: str) -> bool:
    """False for a NUL, which PostgreSQL refuses, and for half a surrogate pair, which is no character."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    """Integer default values of the operation's variables: only they can size a page."""
    return {
        definition.variable.name.value: _whole(definition.default_value.value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode)
    }


def _walk(
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    start: _Step,
    variables: Mapping[str, Any],
    result: Measure,
) -> None:
    """Expand the fragments under `start` and count every field."""
    stack = [start]
    while stack:
        step = stack.pop()
        result.reach(step.depth)
        for selection in step.selections.selections:
            result.add("work", 1, WORK_LIMIT, "fields with fragments expanded")
            following = _follow(schema, fragments, step, selection, variables, result)
            if following is not None:
                stack.append(following)


def _follow(
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    step: _Step,
    selection: SelectionNode,
    variables: Mapping[str, Any],
    result: Measure,
) -> _Step | None:
    """Count one selection; the selection set below it, if any."""
    if isinstance(selection, FieldNode):
        return _field(schema, step, selection, variables, result)
    if isinstance(selection, InlineFragmentNode):
        condition = selection.type_condition
        parent = schema.get_type(condition.name.value) if condition else step.parent
        return _Step(selection.selection_set, parent, step.depth, step.times, step.trail)
    if isinstance(selection, FragmentSpreadNode):
        name = selection.name.value
        fragment = fragments.get(name)
        # A cycle ends here; that it is one is said by validation.
        if fragment is None or name in step.trail:
            return None
        parent = schema.get_type(fragment.type_condition.name.value)
        return _Step(fragment.selection_set, parent, step.depth, step.times, step.trail | {name})
    return None


def _field(
    schema: GraphQLSchema, step: _Step, node: FieldNode, variables: Mapping[str, Any], result: Measure
) -> _Step | None:
    """Count one field; its selection set with the number of times it will be answered."""
    result.add("nodes", 1, NODE_LIMIT, "fields")
    if node.alias is not None:
        result.add("aliases", 1, ALIAS_LIMIT, "aliases")
    definition = _definition(schema, step.parent, node.name.value)
    name = f"{step.parent.name}.{node.name.value}" if step.parent else node.name.value
    size = _size(name, node, definition, variables)
    # A page counts its rows at `node`; a plain list has no such field and counts them here.
    answers = step.times * (size if definition and _is_list(definition) else 1)
    result.add("cost", answers * _weight(schema, step.parent, name, definition), COST_LIMIT, "cost points")
    if node.selection_set is None:
        return None
    below = get_named_type(definition.type) if definition else None
    return _Step(node.selection_set, below, step.depth + 1, step.times * size, step.trail)


def _definition(schema: GraphQLSchema, parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    """The field of the schema, None when there is none (validation will say so)."""
    if name == "__schema" and parent is schema.query_type:
        return GraphQLField(schema.type_map["__Schema"])  # type: ignore[arg-type]
    if name == "__type" and parent is schema.query_type:
        return GraphQLField(schema.type_map["__Type"])  # type: ignore[arg-type]
    if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
        return parent.fields.get(name)
    return None


def _weight(schema: GraphQLSchema, parent: GraphQLNamedType | None, name: str, definition: GraphQLField | None) -> int:
    """The cost of answering one field once."""
    if parent is not None and parent is schema.mutation_type:
        return MUTATION_COST
    if name in WEIGHTS:
        return WEIGHTS[name]
    if definition is None or name.rpartition(".")[2] in FREE:
        return LEAF_COST
    return LEAF_COST if is_leaf_type(get_named_type(definition.type)) else OBJECT_COST


def _size(name: str, node: FieldNode, definition: GraphQLField | None, variables: Mapping[str, Any]) -> int:
    """How many rows a field answers with: its page size, else what SIZES says of the list, else one."""
    if definition is None:
        return 1
    if "first" in definition.args:
        asked = [argument.value for argument in node.arguments if argument.name.value in ("first", "last")]
        return max((_page_rows(value, variables) for value in asked), default=PAGE_DEFAULT)
    if not _is_list(definition) or name.rpartition(".")[2] in FREE:
        return 1
    return SIZES.get(name, LIST_SIZE)


def _is_list(definition: GraphQLField) -> bool:
    """Whether the field answers with a list."""
    type_ = definition.type.of_type if isinstance(definition.type, GraphQLNonNull) else definition.type
    return isinstance(type_, GraphQLList)


def _page_rows(value: Any, variables: Mapping[str, Any]) -> int:
    """The rows of a `first:` or `last:`; what cannot be read counts as a full page."""
    if isinstance(value, IntValueNode):
        asked: Any = _whole(value.value)
    elif isinstance(value, VariableNode):
        asked = variables.get(value.name.value, PAGE_DEFAULT)
    else:
        asked = PAGE_LIMIT
    if asked is None:
        return PAGE_DEFAULT
    if isinstance(asked, bool) or not isinstance(asked, int):
        return PAGE_LIMIT
    return max(1, min(abs(asked), LARGEST_PAGE))


def _whole(text: str) -> int:
    """An integer literal; one with more digits than any page size needs counts as LARGEST_PAGE."""
    return int(text) if len(text) <= 9 else LARGEST_PAGE
