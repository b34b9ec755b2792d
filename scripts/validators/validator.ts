/**
 * Compiles the configuration's schema ahead of time.
 *
 * Loading ajv and compiling the schema is a quarter of what the daemon needs to start, and a start is
 * what a restart under traffic waits for.
 */
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { AJV_OPTIONS, VALIDATOR_PATH } from '../../src/config/config-shape.ts';
import { CONFIG_SCHEMA } from '../../src/config/schema.ts';

/** The compiled modules that this file is compiled with. */
const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

/**
 * Writes the validator to where the reader of configurations looks for it.
 * @param folder a copy of build/src
 * @returns the path of the validator
 */
export function writeValidator(folder: string): string {
  const ajv = new Ajv({ ...AJV_OPTIONS, code: { source: true } });
  const path = join(folder, relative(SOURCE, VALIDATOR_PATH));
  writeFileSync(path, standalone.default(ajv, ajv.compile(CONFIG_SCHEMA)));
  return path;
}
