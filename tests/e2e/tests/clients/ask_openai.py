"""Asks by OpenAI's SDK and prints what it got as JSON.

ask_openai.py URL answer|error|cut|leave PROMPT
"""

import asyncio
import json
import signal
import sys

import openai

url, task, prompt = sys.argv[1:]
settings = dict(base_url=url, api_key="any", max_retries=0, timeout=60)
client = openai.OpenAI(**settings)
question = dict(model="small", max_tokens=12, messages=[{"role": "user", "content": prompt}])


def whole():
    choice = client.chat.completions.create(**question).choices[0]
    return {"text": choice.message.content, "end": choice.finish_reason}


def gathered(choices):
    return {
        "text": "".join(choice.delta.content or "" for choice in choices),
        "end": choices[-1].finish_reason,
    }


def streamed():
    return gathered([chunk.choices[0] for chunk in client.chat.completions.create(**question, stream=True)])


async def streamed_async():
    async with openai.AsyncOpenAI(**settings) as client:
        stream = await client.chat.completions.create(**question, stream=True)
        return gathered([chunk.choices[0] async for chunk in stream])


def error():
    before = ""
    try:
        for chunk in client.chat.completions.create(**question, stream=True):
            before += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return {"before": before, "raised": type(error).__name__, "message": error.message}


def cut():
    before = ""
    try:
        for chunk in client.chat.completions.create(**question, stream=True):
            before += chunk.choices[0].delta.content or ""
    except Exception as error:
        return {"before": before, "raised": type(error).__name__}
    return {"before": before, "raised": None}


def leave():
    question["max_tokens"] = 10**9
    stream = client.chat.completions.create(**question, stream=True)
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    stream.close()
    print("closed", flush=True)
    signal.pause()


if task == "answer":
    print(json.dumps({"whole": whole(), "streamed": streamed(), "streamed_async": asyncio.run(streamed_async())}))
elif task == "error":
    print(json.dumps(error()))
elif task == "cut":
    print(json.dumps(cut()))
else:
    leave()
