import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { CONFIG_SCHEMA, schemaText } from '../../src/config/schema.ts';
import { repositoryRoot } from '../support/repository.ts';

const SCHEMA_FILE = join(repositoryRoot(), 'config', 'secgroupd.schema.json');

test('the published schema is the one the loader uses', () => {
  // To write it anew after a change: UPDATE_SCHEMA=1
  if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(SCHEMA_FILE, schemaText());
  assert.equal(readFileSync(SCHEMA_FILE, 'utf8'), schemaText());
});

test('the schema is valid draft-07 JSON Schema', () => {
  const ajv = new Ajv({ strict: false });
  const metaSchema = createRequire(import.meta.url)('ajv/dist/refs/json-schema-draft-07.json') as {
    $id: string;
  };
  assert.equal((CONFIG_SCHEMA as { $schema: string }).$schema, metaSchema.$id);
  assert.equal(ajv.validate(metaSchema.$id, CONFIG_SCHEMA), true, JSON.stringify(ajv.errors));
});

test('every example and default in the schema is accepted by its own part of the schema', () => {
  const ajv = new Ajv({ allowUnionTypes: true });
  let checked = 0;
  const walk = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    if (Array.isArray(part)) return part.forEach(walk);
    const {
      examples,
      default: preset,
      ...rest
    } = part as { examples?: unknown; default?: unknown };
    // A property may itself be called `examples`; in ours none is.
    const values = [
      ...(Array.isArray(examples) ? (examples as unknown[]) : []),
      ...(preset === undefined ? [] : [preset]),
    ];
    for (const value of values) {
      checked++;
      assert.equal(
        ajv.validate(rest, value),
        true,
        `${JSON.stringify(value)}: ${ajv.errorsText()}`,
      );
    }
    Object.values(rest).forEach(walk);
  };
  const { $schema, ...schema } = CONFIG_SCHEMA as { $schema: string };
  assert.match($schema, /draft-07/);
  walk(schema);
  assert.ok(checked > 30, `${checked} values checked`);
});
