#!/bin/bash
# Mutation tests of one module: mutmut changes its functions in small ways, and what no test notices is shown as a diff.
#   scripts/mutate.sh members/member_step.py [tests, by default the folder of its unit tests]
# Ends with 1 where no test reaches a function. docs/development/equivalent-mutants.md says what to do about the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
module=${1:?name a module of the package, such as members/member_step.py} package=layers/shared/audience_sync
shift
[ -f "$package/$module" ] || { echo "no module $package/$module" >&2; exit 2; }
[ $# -gt 0 ] || set -- "tests/unit/$(dirname "$module")"
for test in "$@"; do [ -e "${test%%::*}" ] || { echo "no tests at $test: name others after the module" >&2; exit 2; }; done
tool=$(scripts/tool.sh mutation) python=$PWD/.venv/bin/python run=.tools/mutation-run

# mutmut has tests import its mutants only from ./, src/ or source/.
rm -rf "$run"
mkdir -p "$run/src"
cp -R "$package" "$run/src"
copied=(workshop local functions events docs template.yaml)
tar -c --exclude node_modules --exclude __pycache__ tests pyproject.toml "${copied[@]}" | tar -x -C "$run"
# What it does not mutate are texts for people. The tests left out count calls or lines, to which it adds its own; the
# last one takes ten seconds.
cat >"$run/setup.cfg" <<SETTINGS
[mutmut]
source_paths = src
only_mutate = src/audience_sync/$module
do_not_mutate_patterns = \b[A-Z]\w+\(f?"[^"]* [^"]*"
also_copy =
$(printf '    %s\n' "${copied[@]}")
pytest_add_cli_args_test_selection =
$(printf '    %s\n' "$@")
pytest_add_cli_args =
    --hypothesis-profile=mutants
    -knot local_aws
    --deselect=tests/unit/segment/test_budget.py::test_work_stays_within_the_budget_which_changes_no_value
    --deselect=tests/unit/segment/test_budget.py::test_many_costly_directives_reject_the_event
    --deselect=tests/unit/segment/test_mapping.py::test_a_hostile_event_costs_few_steps_and_raises_nothing
    --deselect=tests/unit/segment/test_trigger.py::test_parsing_a_trigger_is_linear_in_its_length
    --deselect=tests/unit/amazon_ads/normalization/test_phone.py::test_the_table_never_disagrees_with_phonenumbers
SETTINGS
cd "$run"
# In CI Hypothesis chooses the same examples every time: no mutant is killed by luck.
export CI=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH
PYTHONPATH=$(echo "$tool"/lib/python*/site-packages)
nice "$python" -m mutmut run
results=$("$python" -m mutmut results)
sed -nE 's/^ *([^ ]+): (survived|suspicious)$/\1/p' <<<"$results" | while read -r mutant; do "$python" -m mutmut show "$mutant"; done
! sed -nE 's/^ *(.+)__mutmut_[0-9]+: no tests$/no test reaches \1/p' <<<"$results" | sort -u | grep .
