/** The map and the matrix of inputs, as the page gets them. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { MapNode, MapView, MatrixView } from '../../src/console/contract.ts';
import { EDGES_MAX, NODES_MAX } from '../../src/console/map-view.ts';
import { InputSource } from '../../src/console/input-source.ts';
import { loadText } from '../config/config-text.ts';
import { inputOf, openConsole } from './world.ts';

const TEXT = `
prefixLists:
  office: { family: 4, maxEntries: 5, entries: [{ cidr: 192.0.2.0/24 }, { cidr: 198.51.100.0/24 }] }
platformServices: [dns]
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: [80, 443], from: 0.0.0.0/0, description: everybody }
      - { protocol: tcp, ports: 22, from: "pl:office" }
    egress:
      - { protocol: tcp, ports: 5432, to: "sg:db" }
      - { protocol: tcp, ports: 443, to: "dns:*.example.com" }
  db:
    ingress: [{ protocol: tcp, ports: 5000-6000, from: "sg:web" }]
    egress: []
interfaces:
  web-1: { device: { name: web-1 }, addresses: [10.0.0.1], securityGroups: [web] }
  web-2: { device: { name: web-2 }, addresses: [10.0.0.2, "fd00::2"], securityGroups: [web] }
  db-1: { device: { name: db-1 }, addresses: [10.0.0.3], securityGroups: [db] }
  both: { device: { name: both }, addresses: [10.0.0.4], securityGroups: [db, web] }
`;

async function mapOf(t: TestContext, text: string): Promise<MapView> {
  return (await openConsole(t, inputOf(text))).get<MapView>('map');
}

/** `from -> to: services`, by labels. */
function edgeLines({ nodes, edges }: MapView): readonly string[] {
  const labels = new Map(nodes.map(({ id, label }) => [id, label]));
  return edges
    .map(
      ({ from, to, services }) =>
        `${labels.get(from)} -> ${labels.get(to)}: ${services.join('; ')}`,
    )
    .sort();
}

describe('the map', () => {
  test('has kinds of interfaces, and who else rules name, with what is allowed between them', async (t) => {
    const map = await mapOf(t, TEXT);
    assert.equal(map.generation, 1);
    assert.equal(map.isTooLarge, undefined);
    assert.deepEqual(
      map.nodes.map(({ kind, label }) => `${kind} ${label}`),
      [
        'interfaces web',
        'interfaces db-1',
        'interfaces both',
        'block 0.0.0.0/0',
        'prefix-list office',
        'name dns:*.example.com',
        'platform platform',
      ],
    );
    const [web] = map.nodes;
    assert.ok(web.kind === 'interfaces');
    assert.deepEqual(
      web.interfaces.map(({ name, addresses }) => [name, addresses]),
      [
        ['web-1', ['10.0.0.1']],
        ['web-2', ['10.0.0.2', 'fd00::2']],
      ],
    );
    assert.deepEqual(
      edgeLines(map),
      [
        '0.0.0.0/0 -> both: tcp 80, 443',
        '0.0.0.0/0 -> web: tcp 80, 443',
        'both -> both: tcp 5432',
        'both -> db-1: tcp 5432',
        'both -> dns:*.example.com: tcp 443',
        'both -> platform: tcp 53; udp 53',
        'db-1 -> platform: tcp 53; udp 53',
        'office -> both: tcp 22',
        'office -> web: tcp 22',
        'web -> both: tcp 5432',
        'web -> db-1: tcp 5432',
        'web -> dns:*.example.com: tcp 443',
        'web -> platform: tcp 53; udp 53',
      ].filter((line) => line !== 'both -> both: tcp 5432'),
    );
  });

  test('has a name that a rule requires of TLS beside the name itself, and so has the matrix', async (t) => {
    const rule = '{ protocol: tcp, ports: 443, to: "dns:*.example.com" }';
    const strict = '{ protocol: tcp, ports: 8443, to: "dns:*.example.com", tlsName: required }';
    const world = await openConsole(t, inputOf(TEXT.replace(rule, `${rule}\n      - ${strict}`)));
    const map = await world.get<MapView>('map');
    const nodes = map.nodes.filter((node) => node.kind === 'name');
    assert.deepEqual(
      nodes.map(({ label, dnsName, tlsName }) => [label, dnsName, tlsName]),
      [
        ['dns:*.example.com', '*.example.com', undefined],
        ['dns:*.example.com (TLS name required)', '*.example.com', 'required'],
      ],
    );
    assert.deepEqual(
      edgeLines(map).filter((line) => line.startsWith('web -> dns:')),
      [
        'web -> dns:*.example.com (TLS name required): tcp 8443',
        'web -> dns:*.example.com: tcp 443',
      ],
    );
    const { ends } = await world.get<MatrixView>('matrix');
    const named = ends.filter(({ kind }) => kind === 'name');
    assert.deepEqual(
      named.map(({ label, node }) => [label, node]).sort(),
      nodes.map(({ label, id }) => [label, id]).sort(),
    );
  });

  test('tells the rules of an edge, with their place, and that a name is not certain', async (t) => {
    const map = await mapOf(t, TEXT);
    const idOf = (label: string): string => map.nodes.find((node) => node.label === label)!.id;
    const edge = map.edges.find(({ from, to }) => from === idOf('web') && to === idOf('db-1'))!;
    const rules = edge.rules.map((place) => map.rules[place]);
    assert.deepEqual(
      rules
        .map(({ text, direction, group, origin }) => [text, direction, group?.name, origin?.line])
        .sort(),
      [
        ['tcp 5000-6000 from sg:web', 'ingress', 'db', 14],
        ['tcp 5432 to sg:db', 'egress', 'web', 11],
      ],
    );
    assert.deepEqual([edge.ruleCount, edge.isPerhaps], [2, undefined]);
    const named = map.edges.find(({ to }) => to === idOf('dns:*.example.com'))!;
    assert.equal(named.isPerhaps, true);
  });

  test('keeps its ids when everything is written in another order', async (t) => {
    const idsOf = (map: MapView): readonly string[] =>
      [...map.nodes.map(({ id }) => id), ...map.edges.map(({ id }) => id)].sort();
    const lines = TEXT.split('\n');
    const at = lines.indexOf('interfaces:');
    const turned = [...lines.slice(0, at + 1), ...lines.slice(at + 1, -1).reverse(), ''].join('\n');
    assert.notEqual(turned, TEXT);
    assert.deepEqual(idsOf(await mapOf(t, turned)), idsOf(await mapOf(t, TEXT)));
  });

  test('has the names of strangers as they are, and ids that they can not bend', async (t) => {
    // An input of others may call an interface anything.
    const names = ['<img src=x onerror=alert(1)>', '__proto__', 'constructor', '"\\\n\u202e'];
    const groups = ['"a,b"', '"a", "b"', '"a"', '"b"'];
    const interfaces = names.map(
      (_, i) =>
        `  e${i}: { device: { name: i${i} }, addresses: [10.0.0.${i + 1}], securityGroups: [${groups[i]}] }`,
    );
    const { config } = loadText(
      `securityGroups: { "a,b": {}, "a": {}, "b": {} }\ninterfaces:\n${interfaces.join('\n')}\n`,
    );
    const renamed = [...config!.model.interfaces.values()].map(
      (one, i) => [one.id, { ...one, name: names[i] }] as const,
    );
    const model = { ...config!.model, interfaces: new Map(renamed) };
    const facts = { title: 'x', kind: 'template', version: '1', config: { ...config!, model } };
    const map = await (await openConsole(t, new InputSource(facts))).get<MapView>('map');
    const kinds = map.nodes.filter(({ kind }) => kind === 'interfaces');
    assert.deepEqual(
      kinds.map(({ label }) => label),
      names,
    );
    assert.equal(new Set(kinds.map(({ id }) => id)).size, 4);
    assert.ok(map.nodes.every(({ id }) => /^[a-z-]+-[A-Za-z0-9_-]{16}$/.test(id)));
  });
});

/** Interfaces in `kinds` kinds, each of which may reach the next. */
function large(interfaces: number, kinds: number): string {
  const groups = Array.from({ length: kinds }, (_, i) => {
    const next = (i + 1) % kinds;
    return `  g${i}: { ingress: [{ protocol: tcp, ports: 443, from: "sg:g${next}" }, { protocol: tcp, ports: 22, from: 10.0.0.0/8 }] }`;
  });
  const members = Array.from(
    { length: interfaces },
    (_, i) =>
      `  eni-${i}: { device: { name: d${i} }, addresses: [10.1.${i >> 8}.${i & 255}], securityGroups: [g${i % kinds}] }`,
  );
  return `securityGroups:\n${groups.join('\n')}\ninterfaces:\n${members.join('\n')}\n`;
}

test('the map of a thousand interfaces is of their kinds, and small', async (t) => {
  const world = await openConsole(t, inputOf(large(1000, 40)));
  const begin = process.hrtime.bigint();
  const answer = await world.send({
    path: '/api/map',
    headers: { authorization: `Bearer ${world.token}` },
  });
  const tookMs = Number(process.hrtime.bigint() - begin) / 1e6;
  t.diagnostic(`${answer.body.length} bytes in ${tookMs.toFixed(0)} ms`);
  const map = JSON.parse(answer.text) as MapView;
  const kinds = map.nodes.filter(({ kind }) => kind === 'interfaces');
  assert.equal(kinds.length, 40);
  assert.equal(
    kinds.reduce((sum, node) => sum + (node.kind === 'interfaces' ? node.interfaces.length : 0), 0),
    1000,
  );
  // Port 22 from all that have addresses of the block, 443 from the next.
  const between = map.edges.filter(({ from, to }) =>
    [from, to].every((id) => kinds.some((node) => node.id === id)),
  );
  assert.equal(between.length, 40 * 40);
  assert.equal(between.filter(({ services }) => services[0] === 'tcp 22, 443').length, 40);
  assert.ok(answer.body.length < 1_000_000, `${answer.body.length} bytes`);
});

test('a map that is too large says so, and has what fits', async (t) => {
  const map = await mapOf(t, large(120, 120));
  assert.equal(map.edges.length, EDGES_MAX);
  assert.match(map.isTooLarge!, /^there are 14\d\d\d edges, and 5000 of them are here$/);
  assert.ok(map.nodes.length <= NODES_MAX);
  const shown = new Set(map.nodes.map(({ id }: MapNode) => id));
  assert.ok(map.edges.every(({ from, to }) => shown.has(from) && shown.has(to)));
});

test('the matrix has parts of the world that do not overlap, and all that they can do', async (t) => {
  const world = await openConsole(
    t,
    inputOf(TEXT.replace('from: "pl:office"', 'from: 192.0.2.0/24')),
  );
  const { ends, cells } = await world.get<MatrixView>('matrix');
  const lines = cells
    .map(
      ({ from, to, services }) =>
        `${ends[from].label} -> ${ends[to].label}: ${services.join('; ')}`,
    )
    .filter((line) => line.includes('-> web') || line.startsWith('web'));
  assert.deepEqual(lines.sort(), [
    '0.0.0.0/1 128.0.0.0/2 192.0.0.0/23 192.0.3.0-255.255.255.255 -> web: tcp 80, 443',
    '192.0.2.0/24 -> web: tcp 22, 80, 443',
    'web -> both: tcp 5432',
    'web -> db-1: tcp 5432',
    'web -> dns:*.example.com: tcp 443',
  ]);
});
