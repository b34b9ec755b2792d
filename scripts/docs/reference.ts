/** The reference pages of docs/, made from what the code itself uses: they can't drift from it. */
import { REASONS } from '../../src/engine/reasons.ts';

interface Schema {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
}

/** docs/drop-reasons.md */
export function dropReasonsPage(): string {
  const rows = REASONS.slice(1).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  return [
    '# Drop reasons',
    '',
    'Every packet that does not arrive was dropped for one of these; `secgroupd_dropped_packets_total` counts them by',
    'interface and direction. This page is made from the code by `scripts/generate-docs`.',
    '',
    '| reason | what happened |',
    '| --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

/** docs/configuration.md, from the JSON Schema. */
export function configurationPage(schema: Schema): string {
  const rows = keys(schema, '').map(({ path, schema: key, required }) => {
    const what = [key.title, key.description].filter((text) => text !== undefined).map(sentence);
    return `| \`${path}\` | ${typeOf(key)} | ${required ? 'required' : defaultOf(key)} | ${what.join(' ')} |`;
  });
  return [
    '# Configuration',
    '',
    'One YAML file. `config/secgroupd.schema.json` is its JSON Schema: with',
    '`# yaml-language-server: $schema=…` in the first line an editor completes and checks it as you type. This page is made',
    'from that schema by `scripts/generate-docs`.',
    '',
    '| key | type | default | what it is |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

interface Key {
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

function keys(schema: Schema, prefix: string): Key[] {
  const found: Key[] = [];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    found.push(
      { path, schema: property, required: schema.required?.includes(name) ?? false },
      ...keys(property, path),
    );
  }
  if (schema.items !== undefined) found.push(...keys(schema.items, `${prefix}[]`));
  if (typeof schema.additionalProperties === 'object') {
    const path = `${prefix}.NAME`;
    const more = keys(schema.additionalProperties, path);
    if (more.length > 0) found.push(...more);
  }
  return found;
}

function typeOf(schema: Schema): string {
  const type = [schema.type ?? 'any']
    .flat()
    .map((name) => TYPE_WORDS[name] ?? name)
    .join(' or ');
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.minimum !== undefined && schema.maximum !== undefined)
    return `${type}, ${schema.minimum}–${schema.maximum}`;
  return type;
}

const TYPE_WORDS: Readonly<Record<string, string>> = { object: 'mapping', array: 'list' };

function defaultOf(schema: Schema): string {
  return schema.default === undefined ? '' : `\`${JSON.stringify(schema.default)}\``;
}

function sentence(text: string): string {
  const escaped = text.replaceAll('|', '\\|');
  return /[.!?]$/.test(escaped) ? escaped : `${escaped}.`;
}
