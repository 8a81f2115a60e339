"""Cross-references of docstrings (``:func:`` and a name) as links, where the reference has their target."""

import griffe
import reference_pages

IN_REFERENCE = tuple(module for page in reference_pages.MODULES for module in reference_pages.modules(page))


class Roles(griffe.Extension):
    """Rewrites each docstring when its object has been read."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Once all of a package is known, so that names can be looked up."""
        self._rewrite(pkg)

    def _rewrite(self, scope: griffe.Object) -> None:
        if scope.docstring:
            links = reference_pages.ROLE.sub(lambda role: _link(scope, *role.groups()), scope.docstring.value)
            scope.docstring.value = links
        for member in scope.members.values():
            if not member.is_alias:
                self._rewrite(member)


def _link(scope: griffe.Object, short: str, name: str) -> str:
    """A link to what a name means here, or the name as code."""
    shown = name.rpartition(".")[2] if short else name
    path = _path(scope, name)
    return f"[`{shown}`][{path}]" if path and path.startswith(IN_REFERENCE) else f"`{shown}`"


def _path(scope: griffe.Object, name: str) -> str | None:
    """Full name of what ``name`` means within ``scope``, looked up outwards."""
    if name.startswith(f"{reference_pages.PACKAGE}."):
        return name
    first, _, rest = name.partition(".")
    try:
        found = scope.resolve(first)
    except griffe.NameResolutionError:
        return None
    return f"{found}.{rest}" if rest else found
