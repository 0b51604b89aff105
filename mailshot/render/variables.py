"""Finds the variables that a template uses, and checks that each exists.

Variables, filters and calls that a mail may not use are problems with their place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jinja2 import nodes
from jinja2.visitor import NodeVisitor

from mailshot import errors
from mailshot.facts import locales
from mailshot.render import filters, sandbox
from mailshot.render.problems import Place, TemplateProblems
from mailshot.render.vocabulary import GroupType, ListType

LOOP = frozenset(
    {
        "index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem",
        "nextitem", "cycle", "changed",
    }
)  # fmt: skip
_SAME = frozenset(
    {
        "batch", "default", "d", "first", "groupby", "last", "list", "reject", "rejectattr", "reverse", "select",
        "selectattr", "slice", "sort", "unique",
    }
)  # fmt: skip
_BY_ATTRIBUTE = {"selectattr": 0, "rejectattr": 0, "sum": 0, "groupby": 0}
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.ScopedEvalContextModifier: "Escaping cannot be switched off in a mail.",
    nodes.CallBlock: "'call' is not available in a mail.",
    nodes.Macro: "A macro must be at the top level of its file, not inside another tag.",
    nodes.Include: "This include cannot be followed.",
    nodes.Import: "An import must be at the top level of its file.",
    nodes.FromImport: "An import must be at the top level of its file.",
    nodes.Extends: "'extends' must be at the top level of its file.",
    nodes.Pow: "Powers are not available in a mail.",
    nodes.NSRef: "Namespaces are not available in a mail.",
}
LANGUAGE = "language"
"""The name, in every template, of the language that it is in."""
Scope = dict[str, str | None]
"""Meaning of each name in this scope: a group of facts, or None for a plain value."""


class VariableFinder(NodeVisitor):
    """Walk one parsed template; `facts` collects the dotted names, problems go to the report."""

    def __init__(
        self, vocabulary: Mapping[str, Collection[str]], places: Sequence[Place], report: TemplateProblems
    ) -> None:
        self.facts: set[str] = set()
        self._vocabulary, self._places, self._report = vocabulary, places, report
        self._scopes: list[Scope] = [{LANGUAGE: None} | {name: name for name in vocabulary}]

    def _problem(self, node: nodes.Node, message: str, remedy: str = "", after: int = 0) -> None:
        place = self._places[min(node.lineno + after, len(self._places) - 1)]
        self._report.add(place, message, remedy)

    def generic_visit(self, node: nodes.Node, *args: object, **kwargs: object) -> None:
        if type(node) in _FORBIDDEN:
            self._problem(node, _FORBIDDEN[type(node)])
        super().generic_visit(node, *args, **kwargs)

    # Names and the groups they stand for

    def _group(self, node: nodes.Node | None) -> str | None:
        """Return the group of facts that an expression evaluates to, or a list of them."""
        if isinstance(node, nodes.Name):
            return next((scope[node.name] for scope in reversed(self._scopes) if node.name in scope), None)
        if (field := _field_name(node)) is not None:
            group = f"{self._group(node.node)}.{field}"  # type: ignore[union-attr]
            return group if group in self._vocabulary else None
        if isinstance(node, nodes.Filter) and node.name in _SAME:
            return self._group(node.node)
        if isinstance(node, nodes.Getitem):
            return self._group(node.node)
        if isinstance(node, nodes.CondExpr):
            return self._group(node.expr1)
        if isinstance(node, nodes.Or):
            return self._group(node.left)
        return None

    def visit_Name(self, node: nodes.Name) -> None:
        if node.ctx == "load" and not any(node.name in scope for scope in self._scopes) and node.name != "range":
            known = {name for scope in self._scopes for name in scope}
            self._problem(node, f"Unknown word '{node.name}'.", errors.nearest(node.name, known))
        elif group := self._group(node):
            self._use_group(node, group)

    def visit_Getattr(self, node: nodes.Getattr) -> None:
        self._visit_field(node, node.node, node.attr)

    def visit_Getitem(self, node: nodes.Getitem) -> None:
        field = _field_name(node)
        if field is not None:
            self._visit_field(node, node.node, field)
        else:
            self._visit_owner(node.node)
            self.visit(node.arg)

    def _visit_field(self, node: nodes.Expr, owner: nodes.Expr, field: str) -> None:
        self._field(node, owner, field)
        if group := self._group(node):
            self._use_group(node, group)

    def _use_group(self, node: nodes.Expr, group: str) -> None:
        """Note that a group is used as a whole, which means nothing for one without a value of its own."""
        self.facts.add(group)
        if isinstance(self._vocabulary[group], GroupType):
            fields = sorted(self._vocabulary[group])
            remedy = f"Write for example {group}.{fields[0]}." if fields else ""
            self._problem(node, f"'{group}' has no value of its own; name what it contains.", remedy)

    def _visit_owner(self, node: nodes.Node) -> None:
        """Visit what a field is taken from, or what gets another name: there a group may stand alone."""
        if isinstance(node, nodes.Name) and self._group(node):
            self.facts.add(str(self._group(node)))
        elif (field := _field_name(node)) is not None and self._group(node):
            self._field(node, node.node, field)  # type: ignore[attr-defined]
        else:
            self.visit(node)

    def _field(self, node: nodes.Node, owner: nodes.Node, field: str, after: int = 1) -> None:
        group = self._group(owner)
        if field.startswith("_"):
            self._problem(node, f"'{field}' is not a fact.", after=after)
        elif isinstance(owner, nodes.Name) and owner.name == "loop" and field not in LOOP:
            self._problem(node, f"'loop' has no '{field}'.", errors.nearest(field, LOOP), after)
        elif group and _is_named(owner, group) and isinstance(self._vocabulary[group], ListType):
            remedy = f"Write {{% for item in {group} %}}, or {group}[0].{field}."
            self._problem(node, f"'{group}' is a list.", remedy, after)
        elif group and field not in self._vocabulary[group]:
            name = owner.name if isinstance(owner, nodes.Name) else group
            remedy = errors.nearest(field, self._vocabulary[group])
            self._problem(node, f"Unknown fact '{name}.{field}'.", remedy, after)
        elif group:
            self.facts.add(f"{group}.{field}")
        self._visit_owner(owner)

    def visit_Output(self, node: nodes.Output) -> None:
        for part in node.nodes:
            group = self._group(part)
            if group and not isinstance(self._vocabulary[group], GroupType):
                remedy = errors.nearest("", self._vocabulary[group])
                self._problem(part, f"'{group}' is a group of facts; name one of them.", remedy)
        self.generic_visit(node)

    # Scopes

    def _bind(self, target: nodes.Node, group: str | None) -> None:
        names = [target] if isinstance(target, nodes.Name) else list(target.find_all(nodes.Name))
        for name in names:
            if name.name in self._vocabulary:
                self._problem(name, f"'{name.name}' already means something; choose another name.")
            self._scopes[-1][name.name] = group

    def visit_For(self, node: nodes.For) -> None:
        if node.recursive:
            self._problem(node, "A loop cannot be recursive in a mail.")
        self._visit_owner(node.iter)
        self._scopes.append({"loop": None})
        self._bind(node.target, self._group(node.iter))
        for part in ([node.test] if node.test else []) + node.body + node.else_:
            self.visit(part)
        self._scopes.pop()

    def visit_With(self, node: nodes.With) -> None:
        for value in node.values:
            self._visit_owner(value)
        groups = [self._group(value) for value in node.values]
        self._scopes.append({})
        for target, group in zip(node.targets, groups, strict=True):
            self._bind(target, group)
        for part in node.body:
            self.visit(part)
        self._scopes.pop()

    def visit_Assign(self, node: nodes.Assign) -> None:
        self._visit_owner(node.node)
        self._bind(node.target, self._group(node.node))

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> None:
        for part in node.body:
            self.visit(part)
        self._bind(node.target, None)

    # Filters, tests and calls

    def visit_Filter(self, node: nodes.Filter) -> None:
        if node.name not in filters.NAMES:
            self._problem(
                node, f"There is no filter '{node.name}' in a mail.", errors.nearest(node.name, filters.NAMES)
            )
        self._date_format(node)
        self._currency(node)
        named = [pair.value for pair in node.kwargs if pair.key == "attribute"]
        position = _BY_ATTRIBUTE.get(node.name)
        attributes = named + (node.args[position : position + 1] if position is not None else [])
        group = self._group(node.node)
        for attribute in attributes:
            if isinstance(attribute, nodes.Const) and isinstance(attribute.value, str):
                self._attribute(attribute, group, attribute.value)
            else:
                self._problem(node, f"'{node.name}' needs the name of a fact in quotes.")
        self.generic_visit(node)

    def _date_format(self, node: nodes.Filter) -> None:
        """Refuse a format of a date that cannot be written, where the template says which it is."""
        forms = [*node.args[:1], *(pair.value for pair in node.kwargs if pair.key == "form")]
        for form in forms if node.name == "date" else ():
            if isinstance(form, nodes.Const) and (fault := locales.pattern_fault(str(form.value))):
                self._problem(form, *fault)

    def _currency(self, node: nodes.Filter) -> None:
        """Refuse a currency that there is not, where the template says which it is."""
        codes = [*node.args[:1], *(pair.value for pair in node.kwargs if pair.key == "currency")]
        for code in codes if node.name == "money" else ():
            if isinstance(code, nodes.Const) and code.value is not None and not locales.is_currency(str(code.value)):
                self._problem(code, f"'{code.value}' is not a currency's code.", "Write for example 'EUR' (ISO 4217).")

    def _attribute(self, node: nodes.Node, group: str | None, names: str) -> None:
        for name in names.split(","):
            if name.startswith("_") or "._" in name:
                self._problem(node, f"'{name}' is not a fact.")
            elif group is None:
                continue
            elif name not in self._vocabulary[group]:
                self._problem(node, f"Unknown fact '{group}.{name}'.", errors.nearest(name, self._vocabulary[group]))
            else:
                self.facts.add(f"{group}.{name}")

    def visit_Test(self, node: nodes.Test) -> None:
        if node.name not in sandbox.HTML.tests:
            self._problem(node, f"There is no test '{node.name}'.", errors.nearest(node.name, sandbox.HTML.tests))
        self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> None:
        called = node.node
        if isinstance(called, nodes.Getattr) and called.attr in sandbox.METHODS:
            self.visit(called.node)
        elif not (isinstance(called, nodes.Name) and called.name == "range"):
            self._problem(called, "This cannot be called in a mail.", errors.nearest("", {"range", *sandbox.METHODS}))
        spread = [part for part in (node.dyn_args, node.dyn_kwargs) if part is not None]
        for part in (*node.args, *(pair.value for pair in node.kwargs), *spread):
            self.visit(part)


def _field_name(node: nodes.Node | None) -> str | None:
    """Return the field that an expression takes from another one, as in `customer.city` or `customer['city']`."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    constant = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const)
    return node.arg.value if constant and isinstance(node.arg.value, str) else None  # type: ignore[union-attr]


def _is_named(node: nodes.Node, group: str) -> bool:
    """Return whether an expression is a group by its own name, and not an item of it or a variable of a loop."""
    return (isinstance(node, nodes.Name) and node.name == group) or _field_name(node) == group.rpartition(".")[2]


def find(
    tree: nodes.Template, places: Sequence[Place], vocabulary: Mapping[str, Collection[str]], report: TemplateProblems
) -> frozenset[str]:
    """Give the dotted facts a template needs (`customer.first_name`, `offers.name`); unknown ones go to the report.

    A group that is only counted or tested, with no fact of it named, appears by its own name (`offers`).
    """
    finder = VariableFinder(vocabulary, places, report)
    try:
        finder.visit(tree)
    except RecursionError:
        report.add(places[0], "The expressions are nested too deeply.")
    grouped = {fact.partition(".")[0] for fact in finder.facts if "." in fact}
    return frozenset(fact for fact in finder.facts if "." in fact or fact not in grouped)
