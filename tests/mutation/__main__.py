"""Mutation tests of the core: mutmut changes functions in small ways, and a test must fail each time.

make mutate                          the functions that have changed since origin/main (without one, since HEAD~1)
make mutate BASE=HEAD~3              the functions that have changed since another commit
make mutate MODULES="delivery/*"     whole modules
make mutate ALL=1                    the whole core, in hours

A mutant that no test kills is shown with what it changes. Write a test that says in a sentence what must hold. Where a
mutant changes nothing that anyone could notice, add it to tests/mutation/equivalents.txt with the reason. Results are
kept in .tools/mutation-run: what was killed is not tried again until its function changes.
"""

import argparse
import sys
import time
from fnmatch import fnmatch

from rich.console import Console

from tests.mutation.modules import changed_functions, core, default_base
from tests.mutation.report import report
from tests.mutation.run import mutants, prepare, run


def main() -> int:
    """Try the mutants and show the score of each module. Returns 1 where one is too low."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=default_base(), help="only functions that have changed since this commit")
    parser.add_argument("--modules", default="", help='whole modules, such as "delivery/* membership.py"')
    parser.add_argument("--all", action="store_true", help="the whole core")
    parser.add_argument("--minutes", type=float, default=60.0, help="when to stop; what is left counts as untried")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200)
    whole = options.all or bool(options.modules)
    patterns = options.modules.split() or ["*"]
    chosen = [path for path in core() if any(fnmatch(path, pattern) for pattern in patterns)]
    changed = {} if whole else {path: names for path in chosen if (names := changed_functions(path, options.base))}
    modules = chosen if whole else list(changed)
    if not modules:
        console.print("no function of the core has changed")
        return 0
    prepare(modules)
    began = time.monotonic()
    has_ended = run(changed, minutes=options.minutes)
    console.print(f"{time.monotonic() - began:.0f} seconds{'' if has_ended else ', stopped before the end'}")
    return report(
        console, [each for each in mutants(modules) if whole or each.function in changed[each.module]], has_ended
    )


if __name__ == "__main__":
    sys.exit(main())
