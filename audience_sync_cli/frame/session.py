"""What a command works with, and what all commands share: common options, errors, exit codes."""

import dataclasses
import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, get_type_hints

import typer

from audience_sync.errors import InvalidSettings
from audience_sync_cli.frame.classes import AskingCommand, Command
from audience_sync_cli.frame.errors import INTERRUPTED, AlreadyReported, NotThere
from audience_sync_cli.frame.global_options import named_stack
from audience_sync_cli.frame.screen import Screen

if TYPE_CHECKING:
    import requests

    from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
    from audience_sync.amazon_ads.data_manager.client import DataManager
    from audience_sync.amazon_ads.login import AccessTokens
    from audience_sync.amazon_ads.timings import Timings
    from audience_sync.aws.audience_table import AudienceTable
    from audience_sync.aws.membership_scan import MembershipScan
    from audience_sync.aws.membership_table import MembershipTable
    from audience_sync.aws.secrets import JsonSecret
    from audience_sync.aws.sqs import Queue
    from audience_sync.ingest.record_rules import Policy
    from audience_sync_cli.frame.operator_log import OperatorLog
    from audience_sync_cli.frame.stacks import Stack

NO_API = "no public endpoint (PublicApi=no)"


@dataclass
class Session:
    """A command's screen, its stack, and the parts of the stack that commands use; each is built on first use.

    It is imported on first use, too: most commands need one or two parts, and completion none. boto3 alone takes longer
    to load than everything that completion needs.
    """

    screen: Screen
    find: Callable[[], "Stack"]
    now: Callable[[], float] = time.time  # epoch seconds
    sleep: Callable[[float], None] = time.sleep  # seconds

    @classmethod
    def of_command(cls, context: typer.Context, screen: Screen) -> Self:
        """Return the session of a command line. Raises WrongUsage if it names two stacks."""
        stack, local = named_stack(context, screen.note)
        return cls(screen, lambda: _found(stack, local))

    @cached_property
    def stack(self) -> "Stack":
        """The stack that the operator has named. Raises NotThere."""
        return self.find()

    @cached_property
    def http(self) -> "requests.Session":
        """The connections of this command."""
        import requests

        return requests.Session()

    @cached_property
    def audiences(self) -> "AudienceTable":
        """The audiences that events may reach."""
        from audience_sync.aws.audience_table import AudienceTable

        return AudienceTable(self.stack.service("dynamodb"), self.stack["AudienceTable"])

    @cached_property
    def members(self) -> "MembershipTable":
        """The rows of members."""
        from audience_sync.aws.membership_rows import Sharding
        from audience_sync.aws.membership_table import MembershipTable
        from audience_sync.clock import Clock

        return MembershipTable(self.stack.service("dynamodb"), self.stack["MembershipTable"], Sharding(), Clock())

    @cached_property
    def member_scan(self) -> "MembershipScan":
        """The rows of whole audiences."""
        from audience_sync.aws.membership_rows import Sharding
        from audience_sync.aws.membership_scan import MembershipScan

        return MembershipScan(self.stack.service("dynamodb"), self.stack["MembershipTable"], Sharding())

    @cached_property
    def policy(self) -> "Policy":
        """The stack's options that shape records; without an HTTP API, its events come through the event queue."""
        from audience_sync.ingest.record_rules import Policy

        parameters = self.stack.parameters
        return Policy(
            consent="pass" if parameters.get("ConsentPolicy") == "pass" else "require",
            needs_time=not self.stack.api,
        )

    @property
    def timings(self) -> "Timings":
        """The time that Amazon may take with an upload, by the stack's parameters; locally, it takes less."""
        from audience_sync.amazon_ads.timings import Timings

        parameters, usual = self.stack.parameters, Timings()
        return Timings(
            float(parameters.get("JobSeconds", usual.job)),
            float(parameters.get("DataManagerSeconds", usual.dataset)),
            float(parameters.get("LateSeconds", usual.late)),
            float(parameters.get("LongestJobSeconds", usual.longest_job)),
        )

    @cached_property
    def log(self) -> "OperatorLog":
        """The operator log, for what changes something."""
        from audience_sync_cli.frame.operator_log import OperatorLog

        return OperatorLog(self.stack, lambda text: self.screen.note(text, style="yellow"), self.now)

    @cached_property
    def amazon(self) -> "AmazonAds":
        """The Amazon Ads client, with the stack's authorization."""
        from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds

        return AmazonAds(self.http, self.stack.hosts.api, self._tokens, now=self.now)

    @cached_property
    def data_manager(self) -> "DataManager":
        """The client of Ads Data Manager. Raises NotThere if the stack names no account, InvalidSettings."""
        from audience_sync.amazon_ads.data_manager.accounts import Account
        from audience_sync.amazon_ads.data_manager.client import DataManager

        account = Account.from_parameter(self.stack.parameters.get("DataManagerAccountId", ""))
        if account is None:
            raise NotThere(
                "The stack names no account of Ads Data Manager.",
                "Deploy with it: `make deploy ARGS='--parameter-overrides DataManagerAccountId=ID'`.",
            )
        return DataManager(self.http, self.stack.hosts.api, self._tokens, account, now=self.now)

    @cached_property
    def _tokens(self) -> "AccessTokens":
        from audience_sync.amazon_ads.login import AccessTokens, Login

        login = Login(self.http, self.stack.hosts.login, self.secret("CredentialsSecret"), self.now)
        return AccessTokens(self.secret("TokenSecret"), login, self.now)

    def secret(self, logical_id: str) -> "JsonSecret":
        """One of the stack's secrets."""
        from audience_sync.aws.secrets import JsonSecret

        return JsonSecret(self.stack.service("secretsmanager"), self.stack[logical_id], time.monotonic)

    def read_or_reset(self, secret: "JsonSecret") -> dict[str, Any]:
        """Return what a secret holds, to be written back with changes; nothing if it is unreadable and may be replaced.

        Raises NotConfirmed if it may not.
        """
        try:
            return dict(secret.value())
        except InvalidSettings:
            self.screen.confirm("The secret is unreadable and would be replaced. Go on?")
            return {}

    def queue(self, logical_id: str) -> "Queue":
        """One of the stack's queues, to send to."""
        from audience_sync.aws.sqs import Queue

        return Queue(self.stack.service("sqs"), self.stack[logical_id], time.monotonic)


def command[**P](
    app: typer.Typer, name: str, *examples: str, asks: bool = False
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a function that takes a Session and some options as a command.

    The help ends with the examples, and with `asks` shows `--yes`. Errors become a sentence and an exit code.
    The function itself is unchanged, so that tests can call it with a session of their own. A parameter that is a
    dataclass becomes one option for each field.
    """

    def register(function: Callable[P, None]) -> Callable[P, None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]  # the first is the session
        shared = {each.name: each.annotation for each in own if dataclasses.is_dataclass(each.annotation)}

        def run(*, context: typer.Context, **options: Any) -> None:
            screen = Screen(as_json="as_json" in context.meta, assume_yes="yes" in context.meta)
            try:
                session = Session.of_command(context, screen)
                function(session, **_gathered(options, shared))  # type: ignore[arg-type]
            except AlreadyReported as reported:
                sys.exit(reported.exit_code)
            except (KeyboardInterrupt, EOFError):
                screen.note("Interrupted.")
                sys.exit(INTERRUPTED)
            except Exception as error:  # noqa: BLE001 - the last frame: a traceback could show secrets
                from audience_sync_cli.frame.explanation import explained  # loads botocore

                failure = explained(error)
                screen.fail(failure)
                sys.exit(failure.exit_code)

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *(part for each in own for part in _expanded(each))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer makes options of it
        run.__annotations__ = {}
        lines = "".join(f"\n  audience-sync {each}" for each in examples)
        kind = AskingCommand if asks else Command
        app.command(name, cls=kind, help=function.__doc__, epilog=f"Examples:{lines}")(run)
        return function

    return register


def _expanded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    if not dataclasses.is_dataclass(parameter.annotation):
        return [parameter.replace(kind=keyword)]
    hints = get_type_hints(parameter.annotation, include_extras=True)
    fields = dataclasses.fields(parameter.annotation)
    return [inspect.Parameter(each.name, keyword, default=each.default, annotation=hints[each.name]) for each in fields]


def _gathered(options: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    for name, kind in shared.items():
        options[name] = kind(**{each.name: options.pop(each.name) for each in dataclasses.fields(kind)})
    return options


def _found(name: str, local: str | None) -> "Stack":
    from audience_sync_cli.frame import stacks

    return stacks.local(local) if local else stacks.deployed(name, stacks.own_clients())
