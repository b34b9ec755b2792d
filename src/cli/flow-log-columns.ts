/** Which fields the lines of a flow log have: as `--format` says, or as the configuration that wrote it does. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';

/** @returns undefined if nobody says it: then a header line does, or it is AWS's default format */
export async function readFields(
  format: string | undefined,
  command: Command,
): Promise<readonly string[] | undefined> {
  if (format === undefined) return undefined;
  const { readFormat } = await import('../recorded/flow-log-reader.ts');
  const names = readFormat(format);
  return typeof names === 'string' ? command.error(`error: --format: ${names}`) : names;
}

/** Of logs that a daemon has kept by this configuration: the fields that it says. They have no header line. */
export function loggedFields(
  files: readonly string[],
  config: Config | undefined,
): readonly string[] | undefined {
  const formats = files.map(
    (file) => config?.flowLogs.find((log) => log.file === resolve(file))?.format.names,
  );
  const [first] = formats;
  return formats.every((names) => names?.join() === first?.join()) ? first : undefined;
}
