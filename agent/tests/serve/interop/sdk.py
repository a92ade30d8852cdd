"""Drives codex with MCP's Python SDK: sdk.py URL [SECONDS-OF-SILENCE]"""
import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url, silence):
    heard = []

    async def progress(done, total, message):
        heard.append(message)

    async with streamable_http_client(url) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            tools = await session.list_tools()
            assert sorted(tool.name for tool in tools.tools) == ["message", "start"], tools
            started = await session.call_tool("start", {}, progress_callback=progress)
            assert not started.is_error, started
            assert started.structured_content["state"] == "idle", started
            await asyncio.sleep(silence)
            sent = await session.call_tool("message", {"text": "from the SDK"})
            assert sent.structured_content["submitted"], sent
            status = await session.read_resource("agent://status")
            assert "state" in status.contents[0].text, status
            refused = await session.call_tool("message", {"text": " "})
            assert refused.is_error, refused
            assert heard, "there was no notification of progress"
    print("all right")


asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0))
