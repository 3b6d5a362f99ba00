"""The official `openai` client for Python, unmodified and in its default settings, against a running gateway."""

import asyncio
import os
import threading
import time

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from report import check, finish

URL = f"{os.environ['SLUICE_URL']}/v1"
MODEL = "gpt-5.1"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
client = OpenAI(base_url=URL, api_key="sk-test")


class Weather(BaseModel):
    city: str
    degrees: int


@check("create")
def create() -> None:
    response = client.responses.create(model=MODEL, input="Hello")
    assert response.status == "completed", response.status
    assert response.output_text == "You said Hello", response.output_text
    assert response.usage is not None and response.usage.output_tokens == 34, response.usage
    assert client.responses.retrieve(response.id).output_text == response.output_text


@check("stream")
def stream() -> None:
    events = list(client.responses.create(model=MODEL, input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "You said Hello", text
    assert events[-1].type == "response.completed", events[-1].type


@check("stream helpers")
def stream_helpers() -> None:
    with client.responses.stream(model=MODEL, input="json", text_format=Weather) as helper:
        text = "".join(event.delta for event in helper if event.type == "response.output_text.delta")
        final = helper.get_final_response()
    assert text == final.output_text, text
    assert final.output_parsed == Weather(city="Bern", degrees=7), final.output_parsed


@check("parse")
def parse() -> None:
    response = client.responses.parse(model=MODEL, input="json", text_format=Weather)
    assert response.output_parsed == Weather(city="Bern", degrees=7), response.output_parsed


@check("tools")
def tools() -> None:
    response = client.responses.create(model=MODEL, input="weather in Paris", tools=[WEATHER])
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.arguments == '{"city":"Paris"}', call.arguments
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = client.responses.create(model=MODEL, previous_response_id=response.id, input=[output], tools=[WEATHER])
    assert answer.output_text == "It is sunny", answer.output_text


@check("conversations")
def conversations() -> None:
    conversation = client.conversations.create(metadata={"topic": "test"})
    for text in ("one", "two"):
        client.responses.create(model=MODEL, conversation=conversation.id, input=text)
    items = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [item.role for item in items] == ["user", "assistant", "user", "assistant"], items
    assert client.conversations.delete(conversation.id).deleted


@check("cancel and resume")
def cancel_and_resume() -> None:
    last = -1
    response_id = None
    for event in client.responses.create(model=MODEL, input="hang", stream=True):
        last = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta":
            break
    assert response_id is not None
    assert client.responses.cancel(response_id).status == "cancelled"
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    assert rest[0].sequence_number == last + 1, rest[0]
    assert rest[-1].type == "response.incomplete", rest[-1]


@check("errors")
def errors() -> None:
    try:
        client.responses.retrieve("resp_0123456789")
        raise AssertionError("it was found")
    except openai.NotFoundError as error:
        assert error.code == "response_not_found", error.code
    try:
        client.responses.create(model=MODEL, input="x", temperature=9)
        raise AssertionError("it was accepted")
    except openai.BadRequestError as error:
        assert error.param == "temperature", error.param
    # The failed turn is an error, not an empty answer, and the client does not repeat it.
    try:
        client.responses.create(model=MODEL, input="fail")
        raise AssertionError("it did not fail")
    except openai.InternalServerError as error:
        failed = client.responses.retrieve(error.body["response_id"])
        assert failed.status == "failed", failed.status


@check("retries")
def retries() -> None:
    """The gateway runs two turns at a time: a third is repeated by the client until there is room."""
    running = [client.responses.create(model=MODEL, input="hang", background=True).id for _ in range(2)]

    def make_room() -> None:
        time.sleep(0.2)
        for response_id in running:
            client.responses.cancel(response_id)

    room = threading.Thread(target=make_room)
    room.start()
    assert client.responses.create(model=MODEL, input="Hello").output_text == "You said Hello"
    room.join()


@check("async")
def asynchronous() -> None:
    async def main() -> None:
        async with AsyncOpenAI(base_url=URL, api_key="sk-test") as aio:
            text = ""
            async for event in await aio.responses.create(model=MODEL, input="Hello", stream=True):
                text += event.delta if event.type == "response.output_text.delta" else ""
            assert text == "You said Hello", text
            async with aio.responses.stream(model=MODEL, input="Hello") as helper:
                final = await helper.get_final_response()
            assert final.output_text == text, final.output_text
            parsed = await aio.responses.parse(model=MODEL, input="json", text_format=Weather)
            assert parsed.output_parsed == Weather(city="Bern", degrees=7)

    asyncio.run(main())


@check("chat completions")
def chat_completions() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == "You said Hello", answer
    pieces = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == "You said Hello", text


finish()
