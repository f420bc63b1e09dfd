"""`python -m local`: announces the start, then imports `local.command`, which takes seconds."""

import sys

if __name__ == "__main__":
    if sys.stderr.isatty() and not {"-h", "--help", "--end-with-stdin"} & set(sys.argv):
        print("Starting the stack: API, functions, queues, tables and Amazon's sandbox.", file=sys.stderr)  # noqa: T201
    from local.command import main

    main()
