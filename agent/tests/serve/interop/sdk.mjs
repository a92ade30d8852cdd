// Drives codex with MCP's TypeScript SDK: sdk.mjs SDK URL
import assert from "node:assert/strict";

const [sdk, url] = process.argv.slice(2);
const { Client } = await import(`${sdk}/dist/esm/client/index.js`);
const { StreamableHTTPClientTransport } = await import(
  `${sdk}/dist/esm/client/streamableHttp.js`
);

const transport = new StreamableHTTPClientTransport(new URL(url));
const client = new Client({ name: "test", version: "1" });
const errors = [];
client.onerror = (error) => errors.push(error);
await client.connect(transport);
const { tools } = await client.listTools();
assert.deepEqual(tools.map((tool) => tool.name).sort(), ["message", "start"]);
const heard = [];
const onprogress = (progress) => heard.push(progress);
const start = { name: "start", arguments: {} };
const started = await client.callTool(start, undefined, { onprogress });
assert.equal(started.structuredContent.state, "idle");
assert.ok(heard.length > 0, "there was no notification of progress");
for (const text of ["from the SDK", "from the SDK"]) {
  const sent = await client.callTool({ name: "message", arguments: { text } });
  assert.equal(sent.structuredContent.submitted, true);
}
const refused = await client.callTool({ name: "message", arguments: { text: " " } });
assert.equal(refused.isError, true);
const status = await client.readResource({ uri: "agent://status" });
assert.ok("state" in JSON.parse(status.contents[0].text));
await transport.terminateSession();
await client.close();
assert.deepEqual(errors, []);
console.log("all right");
