"""Create the routes of a deployed HTTP API if the stand-in for AWS has not read them from the API's description.

python -m scripts.routes STACK

SAM writes routes into the OpenAPI body of the API, which ministack 1.5 ignores. This script reads the deployed
template, so that a route missing there is missing here. Prints each route, and last the id of the API.
"""

import json
import re
import sys
from typing import Any

import boto3

INTEGRATION = "x-amazon-apigateway-integration"


def main() -> None:
    """Create the routes of the stack named on the command line."""
    (stack,) = sys.argv[1:]
    cloudformation, functions, apis = (boto3.client(name) for name in ("cloudformation", "lambda", "apigatewayv2"))
    template: Any = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    resources = (template if isinstance(template, dict) else json.loads(template))["Resources"]
    ids = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    }
    (name,) = [name for name, resource in resources.items() if resource["Type"] == "AWS::ApiGatewayV2::Api"]
    for path, operations in resources[name]["Properties"]["Body"]["paths"].items():
        for method, operation in _with_api(operations).items():
            uri = json.dumps(_with_api(operation)[INTEGRATION]["uri"])
            target = re.search(r"\$\{(\w+)\.Arn\}", uri)
            if target is None:
                raise SystemExit(f"no function in {uri}")
            arn = functions.get_function(FunctionName=ids[target[1]])["Configuration"]["FunctionArn"]
            integration = apis.create_integration(
                ApiId=ids[name], IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
            )["IntegrationId"]
            route = f"{method.upper()} {path}"
            apis.create_route(ApiId=ids[name], RouteKey=route, Target=f"integrations/{integration}")
            sys.stdout.write(f"{route} -> {target[1]}\n")
    sys.stdout.write(f"{ids[name]}\n")


def _with_api(part: dict[str, Any]) -> Any:
    """SAM makes each part of the description depend on PublicApi, as the functions do."""
    return part["Fn::If"][1] if "Fn::If" in part else part


if __name__ == "__main__":
    main()
