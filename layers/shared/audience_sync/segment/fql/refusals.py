"""Reasons to refuse a trigger. Each explains how Segment's engine would read it, and the remedy.

That engine never reports an error. It skips unknown parts and ignores unclosed ones, so a mistyped trigger matches no
event, or every event. We accept the triggers that it reads as a person would, and refuse the rest.
"""

from enum import Enum


class TriggerRefusal(Enum):
    """A reason to refuse a trigger; the value is the message."""

    # the text as a whole
    TOO_LONG = "longer than 4,096 characters; split it into several mappings"
    EMPTY = 'empty, so never true; give a condition, such as type = "track"'
    CHARACTER = "not a character of the language; values go in double quotes, names need a backslash before it"

    # names
    FIELD = (
        "not a field, so Segment would skip it; "
        "use type, event, name, userId or a field of properties, traits or context"
    )
    WHOLE_OBJECT = "this is a whole object; name one of its fields, such as properties.plan"
    BELOW_TEXT = "type, event, name and userId have no fields, so Segment would ignore the rest; end the name here"
    NAME_PART = (
        "Segment cannot read this part of the name; start it with a letter, _ or a backslash, after a single dot"
    )
    NAME_END = "the name must end in white space, = or != here, or the character needs a backslash before it"
    ESCAPE = "Segment splits a name at . [ and ] even after a backslash, and cannot read emoji there; rename the field"

    # values
    SINGLE_QUOTES = "Segment reads single quotes as part of the value; use double quotes"
    OPEN_TEXT = "the string is not closed; add the closing double quote"
    SWALLOWED = (
        "Segment would drop text directly after a string; put white space here, and no double quotes inside a string"
    )
    NUMBER = "not a number; write digits with an optional sign and decimals, such as -1.5, followed by white space"
    VALUE = "not a value to compare with; write a string in double quotes, a number, true, false or null"

    # comparisons
    OPERATOR = (
        "an operator is missing; write = != < <= > or >=, and for a list of values one condition each, joined with or"
    )
    OPERATOR_SPACE = "Segment reads != <= and >= only if white space follows; add it"
    NOT_BOOLEAN = "with != Segment compares strings, which no boolean equals; write = with the other boolean"
    ORDER = "Segment orders numbers only; compare with a number"
    AS_TEXT = "Segment compares this field as a string; put the value in double quotes"
    NULL_AS_TEXT = 'Segment compares type and event with the string "null"; test for the wanted types or names instead'

    # functions
    FUNCTION = 'incomplete; write contains(field, "text"), match(field, "text*") or match(field, "*text")'
    TYPE_IN_FUNCTION = "Segment skips functions on type; write type = and the string"
    PATTERN = "Segment allows one star, first or last, and misreads any other pattern; use contains, or one star there"
    NEGATION = "Segment reads ! only directly before contains or match; use != or the opposite condition"

    # combination
    NOT = "FQL has no `not`, and Segment would ignore it; use !=, !contains or !match"
    WORD = "write `and` or `or` in lower case, with white space on both sides; Segment would ignore this"
    NO_WORD = "two conditions without `and` or `or` between them; add one"
    NO_CONDITION = "a condition is missing; begin with a field, contains, match or a group"
    MIXED = "`and` and `or` at one level, and Segment uses the last one for all; put parentheses around one kind"
    NESTED = "Segment reads one level of parentheses; put this group in a mapping of its own"
    NEGATED_GROUP = "Segment ignores ! before a group; negate the conditions inside it"
    OPEN_GROUP = "the group is not closed; add the closing parenthesis"
    STRAY_PARENTHESIS = "this parenthesis closes nothing; remove it"
    FUNCTION_NOT_LAST = "Segment ends the group at this function's own parenthesis; put the function last in the group"
