"""A schema of Ariadne; `strawberry_schema` has the same one."""

from ariadne import MutationType, ObjectType, QueryType, SubscriptionType, make_executable_schema

from channels_graphql_ws import resumable

SDL = """
    type Query {
        hello(name: String! = "world"): String!
        token: String
        broken: Int
    }
    type Mutation { add(one: Int!, other: Int!): Int! }
    type Event { number: Int!, text: String! }
    type Subscription { count(to: Int!): Event!, heard(group: String!): String!, kept: String! }
"""

query, mutation, subscription = QueryType(), MutationType(), SubscriptionType()
event = ObjectType("Event")


@query.field("hello")
def resolve_hello(root, info, name):
    return f"Hello {name}!"


@query.field("token")
async def resolve_token(root, info):
    return info.context.connection_params.get("token")


@query.field("broken")
def resolve_broken(root, info):
    raise ValueError("It is broken")


@mutation.field("add")
async def resolve_add(root, info, one, other):
    return one + other


@subscription.source("count")
async def generate_count(root, info, to):
    for number in range(to):
        yield {"number": number}
    if to > 2:
        raise ValueError("I cannot count so far")


@subscription.source("heard")
async def generate_heard(root, info, group):
    async with info.context.listen_to_channel("chat.message", groups=[group]) as messages:
        yield "live"
        async for message in messages:
            yield message["text"]


@subscription.source("kept")
@resumable(60)
async def generate_kept(root, info):
    for word in ("to", "be"):
        yield word


@subscription.field("count")
@subscription.field("heard")
@subscription.field("kept")
def resolve_event(root, info, **arguments):
    return root


@event.field("text")
def resolve_text(root, info):
    return f"No. {root['number']}"


schema = make_executable_schema(SDL, query, mutation, subscription, event)
