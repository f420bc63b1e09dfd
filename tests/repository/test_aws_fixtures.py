"""The local AWS that tests share: nothing of one test is left for the next."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from local.template import Template
from tests.aws_fixtures import AwsServer, template_resources
from tests.waiting import wait_until

SECRETS: dict[str, dict[str, Any]] = {"IngestSecret": {}, "CredentialsSecret": {}, "TokenSecret": {}}


def test_each_test_starts_with_fresh_resources_of_the_template(aws_server: AwsServer) -> None:
    def found(template: Template) -> list[Any]:
        dynamodb, secrets = aws_server.client("dynamodb"), aws_server.client("secretsmanager")
        name, secret = (template.resolve({"Ref": each}) for each in ("AudienceTable", "TokenSecret"))
        queues = [aws_server.queues.find(queue).settings for queue in aws_server.queues.names()]
        return [
            dynamodb.list_tables()["TableNames"],
            dynamodb.describe_table(TableName=name)["Table"]["GlobalSecondaryIndexes"],
            dynamodb.scan(TableName=name)["Items"],
            secrets.get_secret_value(SecretId=secret)["SecretString"],
            queues,
        ]

    seen = []
    for _ in range(3):  # made, a copy, and a copy after the copy has changed
        with template_resources(aws_server, SECRETS) as template:
            seen.append(found(template))
            dynamodb, table = aws_server.client("dynamodb"), template.resolve({"Ref": "AudienceTable"})
            dynamodb.put_item(TableName=table, Item={"audienceId": {"S": "left behind"}})
            token = template.resolve({"Ref": "TokenSecret"})
            aws_server.client("secretsmanager").put_secret_value(SecretId=token, SecretString="left behind")
            dynamodb.delete_table(TableName=template.resolve({"Ref": "MembershipTable"}))
            aws_server.queues.remove("local-changes")
    assert len(seen[0][0]) == len(Template.load().resources("AWS::DynamoDB::Table"))
    assert seen[1:] == seen[:1] * 2


def test_a_pending_long_poll_receives_no_message_of_the_next_test(aws_server: AwsServer) -> None:
    ended = threading.Event()

    def receive(queue: str) -> None:
        with pytest.raises(ConnectionClosedError):
            aws_server.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)
        ended.set()

    with template_resources(aws_server, SECRETS) as template:
        queue = template.resolve({"Ref": "ChangeQueue"})
        thread = threading.Thread(target=receive, args=[queue])
        thread.start()
        wait_until(lambda: aws_server.queues.find(queue).arrivals._waiters, bool)
    assert ended.wait(60)
    thread.join()
