"""Form-encoded bodies, for contracts that take them beside JSON."""

from __future__ import annotations

from urllib.parse import parse_qsl

from pbxd.errors import Invalid

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 100


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form. An empty one is one that was not given: forms have no other way to leave one out.

    Raises Invalid for what is no form, says a field twice, or has too many.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        if not body:
            return {}
        raise Invalid(f"the body is not a form of at most {MAX_FIELDS} fields in UTF-8") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("a field is given twice")
    return {name: value for name, value in fields.items() if value}
