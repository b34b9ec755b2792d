/** The reference pages of docs/, made from what the code itself uses: they can't drift from it. */
import { EXIT_CODES } from '../../src/cli/exit-codes.ts';
import { DAEMON_EXIT_CODES } from '../../src/service/exit-codes.ts';
import type { Registry } from 'prom-client';
import { createApiRegistry } from '../../src/metrics/metrics-api.ts';
import { createMetadataRegistry } from '../../src/metrics/metrics-metadata.ts';
import { createRegistry } from '../../src/metrics/metrics.ts';
import { REASONS } from '../../src/engine/reasons.ts';

export interface Schema {
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

/** docs/exit-codes.md */
export function exitCodesPage(): string {
  const commands: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
    ...Object.entries(EXIT_CODES),
    ...Object.entries(DAEMON_EXIT_CODES),
  ];
  const rows = commands.flatMap(([command, codes]) =>
    codes.map(
      ([code, meaning], i) => `| ${i === 0 ? `\`${command}\`` : ''} | ${code} | ${meaning} |`,
    ),
  );
  return [
    '# Exit codes',
    '',
    '0 is done or yes, 1 is failed or no, 2 is a command line that is wrong. Where a script has to tell "no" from "could not',
    'be asked", there are more. `--help` of each command tells its own. This page is made from the code by',
    '`scripts/generate-docs`.',
    '',
    '| command | code | what it means |',
    '| --- | --- | --- |',
    ...rows,
    '',
    'A command that a signal ends exits with 128 and the number of the signal, as in shells: 130 is Ctrl-C.',
    '',
  ].join('\n');
}

/** docs/metrics.md: what a daemon that has seen nothing would tell. */
export function metricsPage(): string {
  const registry = createRegistry({
    source: {
      flowCount: 0,
      flows: [],
      readCounters: () => new Float64Array(0),
      readGauge: () => 0,
      readGauges: () => [],
      hitsOf: () => 0,
      lastHitAt: () => undefined,
      auditedBy: () => ({ packets: 0, bytes: 0 }),
    },
    waiting: () => [],
    ports: () => [],
    rules: () => new Map(),
    audits: () => new Map(),
    events: () => ({ taken: 0, lost: 0 }),
    flowLogs: () => [],
    store: () => undefined,
    policy: () => ({ generation: 1, sinceMs: 0 }),
    reloads: { changed: 0, unchanged: 0, refused: 0, lastSuccessMs: 0, isLastRefused: false },
    maxFlows: 0,
    maxHalfOpen: 0,
    version: '',
  });
  const head = ['| metric | type | labels | what it is |', '| --- | --- | --- | --- |'];
  const api = createApiRegistry({ requests: () => [], version: '' });
  const metadata = createMetadataRegistry({ dns: () => [], requests: () => [], version: '' });
  return [
    '# Metrics',
    '',
    '`metrics.listen` in the configuration has the daemon answer `/metrics` there, in the format of Prometheus.',
    'Labels are bounded by the configuration, never by traffic: there are lines for each interface, drop reasons that',
    'occurred, and at most 1,000 rules. Those that every Node.js process has (`process_…`, `nodejs_…`) come on top.',
    'This page is made from the code by `scripts/generate-docs`.',
    '',
    'Scrapes share the work: whoever asks while another is answered waits for the next answer, which is for all who wait, and',
    "no more than a quarter of the control side's time goes into them. 32 connections are held; beyond it one gives its place to",
    'the new one, an idle one of the address that has most of them first. A connection that sends a request before it has the answer to the',
    'one before, or does not read its answer within 10 s, is closed.',
    '',
    ...head,
    ...metricRows(registry),
    '',
    "## The server of EC2's API",
    '',
    '`secgroup-api --metrics ADDRESS:PORT` answers `/metrics` there in the same way, on loopback alone.',
    '',
    ...head,
    ...metricRows(api),
    '',
    '## DNS and instance metadata',
    '',
    '`secgroup-metadata --metrics ADDRESS:PORT` answers `/metrics` there in the same way, on loopback alone.',
    '',
    ...head,
    ...metricRows(metadata),
    '',
    '`config/prometheus/` has a configuration for Prometheus and alert rules with their unit tests, `config/grafana/`',
    'a dashboard.',
    '',
  ].join('\n');
}

/** A row of the table for each metric that is ours. */
function metricRows(registry: Registry): readonly string[] {
  return (
    registry
      .getMetricsAsArray()
      .filter(({ name }) => !/^(process|nodejs)_/.test(name))
      // prom-client keeps label names, and types them as private.
      .map((metric) => metric as typeof metric & { readonly labelNames: readonly string[] })
      .map(({ name, help, type, labelNames }) => {
        const labels = labelNames.map((label) => `\`${label}\``).join(', ');
        return `| \`${name}\` | ${String(type)} | ${labels} | ${help} |`;
      })
      .sort()
  );
}

/** docs/configuration.md, from the JSON Schema. */
export function configurationPage(schema: Schema): string {
  const rows = listKeys(schema).map(
    ({ path, type, fallback, meaning }) =>
      `| \`${path}\` | ${type} | ${fallback} | ${meaning.replaceAll('|', '\\|')} |`,
  );
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

/** A key of the configuration, in words. */
export interface KeyEntry {
  /** `interfaces.NAME.device.mtu` */
  readonly path: string;
  readonly type: string;
  /** Its default, `required`, or nothing. */
  readonly fallback: string;
  readonly meaning: string;
}

export function listKeys(schema: Schema): KeyEntry[] {
  return keys(schema, '').map(({ path, schema: key, required }) => ({
    path,
    type: typeOf(key),
    fallback: required ? 'required' : defaultOf(key),
    meaning: [key.title, key.description]
      .filter((text) => text !== undefined)
      .map(sentence)
      .join(' '),
  }));
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
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
