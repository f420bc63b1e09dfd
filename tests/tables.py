"""The tables of the template, on the local DynamoDB."""

from typing import Any

from local import resources
from local.template import Template


def create_membership_table(dynamodb: Any, name: str) -> None:
    """Create a membership table with the template's keys."""
    template = Template.load()
    properties = template.resources("AWS::DynamoDB::Table")["MembershipTable"]
    known = ("KeySchema", "AttributeDefinitions", "BillingMode")
    dynamodb.create_table(TableName=name, **{key: template.resolve(properties[key]) for key in known})


def recreate_audience_table(dynamodb: Any) -> str:
    """Drop all tables, create those of the template, and return the name of the audience table."""
    for name in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=name)
    template = Template.load()
    resources._tables(template, dynamodb)
    audience_table: str = template.resolve({"Ref": "AudienceTable"})
    return audience_table
