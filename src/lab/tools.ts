/** Runs the system's own tools (`ip`, `nsenter`, `unshare`). Only the lab does that; the daemon never does. */
import { execFile } from 'node:child_process';
import { LabError } from './errors.ts';

const PACKAGE_OF: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
};
const TOOL_TIMEOUT_MS = 10_000;
/** The most tools to run at the same time. */
const TOOLS_AT_ONCE = 16;

export type ToolResult = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** Runs a tool to its end. Returns a failure with the tool's output. Throws LabError if the tool is missing. */
export function tryTool(command: string, args: readonly string[]): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: TOOL_TIMEOUT_MS }, (error, _stdout, stderr) => {
      if (error === null) {
        resolve({ ok: true });
      } else if (error.code === 'ENOENT') {
        reject(missingTool(command));
      } else {
        const said = stderr.trim();
        resolve({
          ok: false,
          message: `${[command, ...args].join(' ')}: ${said === '' ? error.message : said}`,
        });
      }
    });
  });
}

/** Splits a list into parts. For the items of a part, tools run at the same time. */
export function inChunks<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / TOOLS_AT_ONCE) }, (_, i) =>
    items.slice(i * TOOLS_AT_ONCE, (i + 1) * TOOLS_AT_ONCE),
  );
}

/** Runs a tool as `tryTool` does, but throws LabError on a failure. */
export async function runTool(command: string, args: readonly string[]): Promise<void> {
  const result = await tryTool(command, args);
  if (!result.ok) throw new LabError(result.message);
}

export function missingTool(command: string): LabError {
  const name = PACKAGE_OF[command];
  return new LabError(
    `${command} was not found`,
    name === undefined ? undefined : `install it: apt-get install ${name}`,
  );
}
