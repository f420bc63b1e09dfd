"""Why a trigger is refused: each reason says how Segment's engine would read the text, and what to write instead.

That engine never reports an error. It skips what it does not know and ignores what has no end, so a mistyped trigger
matches no event, or every event. We accept the texts that it reads as a person would, and refuse the rest.
"""

from enum import Enum


class Refusal(Enum):
    """A reason to refuse a trigger; the value is the message. docs/triggers.md has an example of each."""

    # the text as a whole
    TOO_LONG = "longer than 4,096 characters; make several mappings of it"
    EMPTY = 'empty, and so never true; state a condition, such as type = "track"'
    CHARACTER = "not a character of the language; values go in double quotes, names need a backslash before it"

    # names
    FIELD = (
        "not a field, so Segment would skip it; "
        "use type, event, name, userId or what lies below properties, traits or context"
    )
    WHOLE_OBJECT = "names a whole object; name a field below it, such as properties.plan"
    BELOW_TEXT = "nothing lies below type, event, name and userId, so Segment would ignore the rest; end the name here"
    NAME_PART = "Segment cannot read this part of the name; begin it with a letter, _ or a backslash, after one dot"
    NAME_END = "the name must end in white space, = or != here, or the character needs a backslash before it"
    ESCAPE = (
        "Segment divides a name at . [ and ] even behind a backslash, and cannot read emoji there; rename the field"
    )

    # values
    SINGLE_QUOTES = "Segment takes single quotes as part of the value; use double quotes"
    OPEN_TEXT = "the text does not end; add the closing double quote"
    SWALLOWED = (
        "Segment would lose what follows directly behind a text; put white space here, "
        "and no double quote inside a text"
    )
    NUMBER = "not a number; write digits with an optional sign and decimals, such as -1.5, and white space behind them"
    VALUE = "no value to compare with; write a text in double quotes, a number, true, false or null"

    # comparisons
    OPERATOR = "an operator is missing; write = != < <= > or >=, and for a list of values one condition each, with or"
    OPERATOR_SPACE = "Segment reads != <= and >= only with white space behind them; add it"
    NOT_BOOLEAN = "Segment compares != with the text, which no boolean equals; write = with the other boolean"
    ORDER = "Segment orders numbers only; compare with a number"
    AS_TEXT = "Segment compares this field with the written text, not the value; put the value in double quotes"
    NULL_AS_TEXT = 'Segment compares type and event with the text "null"; test for the wanted types or names instead'

    # functions
    FUNCTION = 'incomplete; write contains(field, "text"), match(field, "text*") or match(field, "*text")'
    TYPE_IN_FUNCTION = "Segment skips functions of type; write type = and the text"
    PATTERN = "Segment takes one star, first or last, and misreads any other pattern; use contains, or one star there"
    NEGATION = "Segment knows ! only directly before contains or match; use != or the opposite condition"

    # combination
    NOT = "there is no word not, and Segment would ignore it; use !=, !contains or !match"
    WORD = "write and, or in lower case with white space on both sides; Segment would ignore this"
    NO_WORD = "two conditions without a word between them; write and, or"
    NO_CONDITION = "a condition is missing; begin with a field, contains, match or a group"
    MIXED = "and and or at one level, where Segment takes the last word for all; put parentheses around one kind"
    NESTED = "Segment reads one level of parentheses; state this group in a mapping of its own"
    NEGATED_GROUP = "Segment ignores ! before a group; negate the conditions inside it"
    OPEN_GROUP = "the group does not end; add the closing parenthesis"
    STRAY_PARENTHESIS = "this parenthesis closes nothing; remove it"
    FUNCTION_NOT_LAST = "Segment ends the group at this function's own parenthesis; put the function last in the group"
