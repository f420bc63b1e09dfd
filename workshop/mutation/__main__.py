"""Mutation tests of the core: mutmut changes functions in small ways, and a test must fail each time.

make mutate                          the functions that have changed since origin/main (without one, since HEAD~1)
make mutate BASE=HEAD~3              the functions that have changed since another commit
make mutate MODULES="delivery/*"     whole modules
make mutate ALL=1                    the whole core, in an hour or two

A mutant that no test kills is shown with what it changes. Write a test that says in a sentence what must hold. Where a
mutant changes nothing that anyone could notice, add it to workshop/mutation/equivalents.txt with the reason.
"""

import argparse
import sys
from fnmatch import fnmatch

from rich.console import Console

from workshop.mutation.modules import changed_functions, core, default_base
from workshop.mutation.report import report
from workshop.mutation.run import try_mutants


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
    return report(console, try_mutants(modules, changed, minutes=options.minutes))


if __name__ == "__main__":
    sys.exit(main())
