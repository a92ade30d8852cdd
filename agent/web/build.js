// Makes dist/ of the pages: what `cargo build` embeds.

import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist.new", { recursive: true, force: true });
await build({
  entryPoints: ["terminal.js", "home.js", "replay.js"],
  outdir: "dist.new",
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "inline",
  logLevel: "warning",
});
const packages = readdirSync("node_modules/@xterm").map(name => `@xterm/${name}`);
const licences = packages.map(name => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`);
writeFileSync("dist.new/LICENSES.txt", licences.join("\n"));
rmSync("dist", { recursive: true, force: true });
renameSync("dist.new", "dist");
