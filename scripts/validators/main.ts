/**
 * Compiles the configuration's schema ahead of time: node main.js FOLDER. Run by scripts/build.
 *
 * Loading ajv and compiling the schema is a quarter of what the daemon needs to start, and a start is
 * what a restart under traffic waits for.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { AJV_OPTIONS, VALIDATOR_FILE } from '../../src/control/config/config-shape.ts';
import { CONFIG_SCHEMA } from '../../src/control/config/schema.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: main.js FOLDER');
const ajv = new Ajv({ ...AJV_OPTIONS, code: { source: true } });
writeFileSync(join(folder, VALIDATOR_FILE), standalone.default(ajv, ajv.compile(CONFIG_SCHEMA)));
