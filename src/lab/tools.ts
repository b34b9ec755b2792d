/** Runs the system's own tools (`ip`, `nsenter`, `unshare`). Only the lab does; the daemon never does. */
import { execFile } from 'node:child_process';
import { LabError } from './errors.ts';

const PACKAGE_OF: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
};
const TOOL_TIMEOUT_MS = 10_000;
/** Tools that run at the same time, where many are to be run. */
const TOOLS_AT_ONCE = 16;

export type ToolResult = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** Runs a tool to its end. A failure is returned with what the tool said; a tool that isn't there throws LabError. */
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

/** Parts of a list for each of which tools are run at the same time. */
export function inChunks<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / TOOLS_AT_ONCE) }, (_, i) =>
    items.slice(i * TOOLS_AT_ONCE, (i + 1) * TOOLS_AT_ONCE),
  );
}

/** As `tryTool`, but a failure throws LabError. */
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
