"""Asks by Anthropic's SDK and prints what it got as JSON.

ask_anthropic.py URL answer|error|cut|leave PROMPT
"""

import asyncio
import json
import signal
import sys

import anthropic

url, task, prompt = sys.argv[1:]
settings = dict(base_url=url, api_key="any", max_retries=0, timeout=60)
client = anthropic.Anthropic(**settings)
question = dict(model="small", max_tokens=12, messages=[{"role": "user", "content": prompt}])


def told(message):
    return {"text": message.content[0].text, "end": message.stop_reason}


def gathered(events):
    assert events[0].type == "message_start" and events[-1].type == "message_stop", events
    return {
        "text": "".join(event.delta.text for event in events if event.type == "content_block_delta"),
        "end": next(event.delta.stop_reason for event in events if event.type == "message_delta"),
    }


def helper():
    with client.messages.stream(**question) as stream:
        return told(stream.get_final_message())


async def streamed_async():
    async with anthropic.AsyncAnthropic(**settings) as client:
        stream = await client.messages.create(**question, stream=True)
        return gathered([event async for event in stream])


def error():
    before = ""
    try:
        for event in client.messages.create(**question, stream=True):
            if event.type == "content_block_delta":
                before += event.delta.text
    except anthropic.APIStatusError as error:
        return {"before": before, "raised": type(error).__name__, "type": error.body["error"]["type"]}


def cut():
    before = ""
    try:
        for event in client.messages.create(**question, stream=True):
            if event.type == "content_block_delta":
                before += event.delta.text
    except Exception as error:
        return {"before": before, "raised": type(error).__name__}
    return {"before": before, "raised": None}


def leave():
    question["max_tokens"] = 10**9
    stream = client.messages.create(**question, stream=True)
    next(event for event in stream if event.type == "content_block_delta")
    stream.close()
    print("closed", flush=True)
    signal.pause()


if task == "answer":
    print(json.dumps({
        "whole": told(client.messages.create(**question)),
        "streamed": gathered(list(client.messages.create(**question, stream=True))),
        "helper": helper(),
        "streamed_async": asyncio.run(streamed_async()),
    }))
elif task == "error":
    print(json.dumps(error()))
elif task == "cut":
    print(json.dumps(cut()))
else:
    leave()
