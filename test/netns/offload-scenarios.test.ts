/**
 * A sample of the scenarios (test/scenarios/) over real devices, with the kernel's fast path: what the scripts say of each
 * packet must be so. The sample is of those between instances alone that have packets for the fast path, and in which no
 * time-out has a part, for here time is real. All are played by one daemon: each has instances of its own, with other
 * addresses in place of 10.0.0.0/24 and fd00:10::/64.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireOffload } from '../offload/kernel-rig.ts';
import { packetsOf, playScenario } from '../scenarios/player.ts';
import { parseScenarios, type Scenario } from '../scenarios/scenario.ts';
import { readModel } from '../scenarios/setup.ts';
import type { ModelText } from '../support/policy.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { PacketWorld } from './packet-world.ts';
import { canRun } from './world.ts';

/** The shortest time-out, of a connection that was reset, less what a busy machine may take. */
const SPAN_MAX_MS = 5000;
const MTU = 1500;
/** One of so many that could be played is. */
const SAMPLED_OF = 2;
const FOLDER = join(repositoryRoot(), 'test', 'scenarios');

interface Chosen {
  readonly file: string;
  readonly scenario: Scenario;
}

function isForDevices({ setup, steps }: Scenario): boolean {
  const names = [...setup.instances.keys()];
  const instances = [...setup.instances.values()];
  return (
    [...setup.settings.keys()].every((name) => name === 'midstream') &&
    instances.every(
      ({ options, rules }) => options.length === 0 && !rules.join().includes('pl:'),
    ) &&
    steps.at(-1)!.atMs - steps[0].atMs <= SPAN_MAX_MS &&
    steps.every(
      (step) =>
        step.kind === 'packet' &&
        [step.from, step.to, step.as].every((name) => names.includes(name)) &&
        !/\b(raw|pad|cut)\b|\.\./.test(step.words.join(' ')),
    )
  );
}

function fitsLink({ file, scenario }: Chosen): boolean {
  return packetsOf(file, scenario).every(({ bytes }) => bytes.length <= MTU);
}

/** The sample, each scenario with the addresses of its number. */
function choose(midstream: string): readonly Chosen[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.scenario'));
  const all = files.sort().flatMap((file) => {
    const text = readFileSync(join(FOLDER, file), 'utf8');
    return parseScenarios(file, text).map((scenario, at) => ({ file, text, scenario, at }));
  });
  return all
    .filter(({ scenario: { setup } }) => {
      return (setup.settings.get('midstream')?.words[0] ?? 'accept') === midstream;
    })
    .filter(({ scenario }) => isForDevices(scenario))
    .filter((one) => playScenario(one.file, one.scenario, true) > 0 && fitsLink(one))
    .filter((_, i) => i % SAMPLED_OF === 0)
    .map(({ file, text, at }, number) => {
      const moved = text
        .replaceAll('10.0.0.', `10.0.${number + 1}.`)
        .replaceAll('fd00:10::', `fd00:10:${number + 1}::`);
      return { file, scenario: parseScenarios(file, moved)[at] };
    });
}

const nameOf = (name: string, at: number): string => `${name}-${at}`;

/** The groups and interfaces of all scenarios, each with its number behind its name. */
function modelOf(chosen: readonly Chosen[]): ModelText {
  const models = chosen.map(({ scenario }) =>
    readModel(scenario.setup, (line, message) => assert.fail(`line ${line}: ${message}`)),
  );
  const numbered = (rules: readonly string[], at: number): string[] =>
    rules.map((rule) => rule.replace(/sg:(\S+)/, (_, name: string) => `sg:${nameOf(name, at)}`));
  const groups = models.flatMap((model, at) =>
    Object.entries(model.groups).map(([name, { ingress = [], egress, ...more }]) => {
      const out = egress === undefined ? {} : { egress: numbered(egress, at) };
      return [nameOf(name, at), { ...more, ingress: numbered(ingress, at), ...out }] as const;
    }),
  );
  const interfaces = models.flatMap((model, at) =>
    Object.entries(model.interfaces).map(
      ([name, one]) =>
        [nameOf(name, at), { ...one, groups: one.groups.map((id) => nameOf(id, at)) }] as const,
    ),
  );
  return { groups: Object.fromEntries(groups), interfaces: Object.fromEntries(interfaces) };
}

for (const midstream of ['accept', 'drop'])
  test(`scenarios over real devices with the fast path, midstream ${midstream}`, async (t) => {
    if (!canRun(t) || !requireTools(t, 'nft') || requireOffload(t) === undefined) return;
    const chosen = choose(midstream);
    const world = await PacketWorld.start(t, modelOf(chosen), {
      ...{ offload: 'on', conntrack: { midstream } },
      metrics: { listen: '127.0.0.1:0' },
    });
    for (const [at, { file, scenario }] of chosen.entries())
      await t.test(`${file}: ${scenario.name}`, () => {
        const all = [...scenario.setup.instances.keys()].map((name) => nameOf(name, at));
        for (const { step, bytes } of packetsOf(file, scenario)) {
          world.send(nameOf(step.from, at), bytes, all);
          const came = `${nameOf(step.to, at)} ${Buffer.from(bytes).toString('hex')}`;
          const expected = step.verdict === 'passes' ? [came] : [];
          let actual = world.settle();
          if (actual.length < expected.length) actual = world.settleLate();
          assert.deepEqual(actual, expected, `${file}:${step.line}: ${step.text}`);
        }
      });
    const forwarded = await world.offloadedPackets();
    t.diagnostic(`${chosen.length} scenarios, ${forwarded} packets forwarded by the kernel`);
    assert.ok(forwarded > 0, 'packets went by the fast path');
  });
