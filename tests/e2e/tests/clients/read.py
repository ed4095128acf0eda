"""Reads events by one client until the server says 204, and prints what it saw as JSON.

read.py openai|anthropic|httpx_sse|sseclient URL
"""

import json
import sys

TIMEOUT = 60


def openai(url, headers):
    import openai
    from openai._streaming import SSEDecoder

    client = openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=TIMEOUT)
    request = dict(model="any", messages=[{"role": "user", "content": "any"}], stream=True)
    with client.chat.completions.with_streaming_response.create(**request, extra_headers=headers) as response:
        yield response.status_code
        yield from SSEDecoder().iter_bytes(response.iter_bytes())


def anthropic(url, headers):
    import anthropic
    from anthropic._streaming import SSEDecoder

    client = anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=TIMEOUT)
    request = dict(model="any", messages=[{"role": "user", "content": "any"}], max_tokens=9, stream=True)
    with client.messages.with_streaming_response.create(**request, extra_headers=headers) as response:
        yield response.status_code
        yield from SSEDecoder().iter_bytes(response.iter_bytes())


def httpx_sse(url, headers):
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=TIMEOUT) as client, connect_sse(client, "GET", url, headers=headers) as source:
        yield source.response.status_code
        yield from source.iter_sse()


def sseclient(url, headers):
    import httpx
    from sseclient import SSEClient

    headers = {"accept": "text/event-stream", **headers}
    with httpx.Client(timeout=TIMEOUT) as client, client.stream("GET", url, headers=headers) as response:
        yield response.status_code
        yield from SSEClient(response.iter_bytes()).events()


def main(client, url):
    connect = {"openai": openai, "anthropic": anthropic, "httpx_sse": httpx_sse, "sseclient": sseclient}[client]
    events, connections, last = [], 0, ""
    while True:
        reading = connect(url, {"Last-Event-ID": last} if last else {})
        if next(reading) == 204:
            break
        connections += 1
        for event in reading:
            # A new connection has a new decoder, which does not know the id of the one before.
            last = event.id or last
            retry = None if event.retry is None else int(event.retry)
            events.append({"event": event.event or "message", "data": event.data, "id": last, "retry": retry})
    print(json.dumps({"events": events, "connections": connections}))


main(*sys.argv[1:])
