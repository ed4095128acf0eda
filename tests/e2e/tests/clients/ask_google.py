"""Asks by Google's SDK and prints what it got as JSON.

ask_google.py URL
"""

import asyncio
import json
import sys

from google import genai

client = genai.Client(api_key="any", http_options={"base_url": sys.argv[1]})
question = dict(model="small", contents="count to 3")


def streamed():
    text = ""
    try:
        for chunk in client.models.generate_content_stream(**question):
            text += chunk.text
    except Exception as error:
        return {"text": text, "raised": type(error).__name__}
    return {"text": text, "raised": None}


async def streamed_async():
    text = ""
    try:
        async for chunk in await client.aio.models.generate_content_stream(**question):
            text += chunk.text
    except Exception as error:
        return {"text": text, "raised": type(error).__name__}
    return {"text": text, "raised": None}


print(json.dumps([streamed(), asyncio.run(streamed_async())]))
