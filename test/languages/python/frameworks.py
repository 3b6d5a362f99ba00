"""The Agents SDK and LangChain for Python, unmodified, in three turns with a tool each."""

import asyncio
import os

from agents import Agent, Runner, SQLiteSession, function_tool, set_default_openai_client, set_tracing_disabled
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI

from report import check, finish

URL = f"{os.environ['SLUICE_URL']}/v1"
QUESTIONS = {
    "weather in Paris": "It is sunny in Paris",
    "Thanks": "You said Thanks",
    "weather in Rome": "It is sunny in Rome",
}


@check("Agents SDK")
def agents_sdk() -> None:
    @function_tool
    def get_weather(city: str) -> str:
        """The weather of a city"""
        return f"sunny in {city}"

    async def main() -> None:
        # Its tracing reports to OpenAI itself.
        set_tracing_disabled(True)
        set_default_openai_client(AsyncOpenAI(base_url=URL, api_key="sk-test"))
        agent = Agent(name="Helper", instructions="Be brief.", tools=[get_weather])
        session = SQLiteSession("test")
        for question, expected in QUESTIONS.items():
            result = await Runner.run(agent, question, session=session)
            assert result.final_output == expected, result.final_output
        streamed = Runner.run_streamed(agent, "Bye", session=session)
        async for _ in streamed.stream_events():
            pass
        assert streamed.final_output == "You said Bye", streamed.final_output

    asyncio.run(main())


def lang_chain(use_responses_api: bool) -> None:
    @tool
    def get_weather(city: str) -> str:
        """The weather of a city"""
        return f"sunny in {city}"

    plain = ChatOpenAI(model="gpt-5.1", base_url=URL, api_key="sk-test", use_responses_api=use_responses_api)
    model = plain.bind_tools([get_weather])
    messages = []
    for question, expected in QUESTIONS.items():
        messages.append(HumanMessage(question))
        while True:
            answer = model.invoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                break
            messages.extend(get_weather.invoke(call) for call in answer.tool_calls)
        assert answer.text == expected, answer.text
    text = "".join(chunk.text for chunk in model.stream([*messages, HumanMessage("Bye")]))
    assert text == "You said Bye", text


@check("LangChain, chat completions")
def lang_chain_chat() -> None:
    lang_chain(use_responses_api=False)


@check("LangChain, responses")
def lang_chain_responses() -> None:
    lang_chain(use_responses_api=True)


finish()
